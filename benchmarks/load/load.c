/* The load: N connections with keep-alive in one thread, requests that were signed beforehand.

   usage: load --port P --connections N --seconds S --least L --most M --requests FILE
               --pattern FILE [--ca FILE]

   FILE of requests, for each:   Q <status> <check> <offset> <length> <pieces>\n
   then for each piece           L <bytes>\n<the bytes themselves>     literally this
                             or  P <offset> <bytes>\n                  a slice of the pattern
   The first piece is the head.  `check` 1: the answer's body must be `length` bytes of the pattern
   from `offset`, which begins anew at its end; 2: only the length must be right; 0: anything.

   A connection that is free takes the next request, the first after the last, until S seconds are
   over and L operations are begun, or M are.  What was begun is finished.  Prints one JSON object.  Any answer
   that is not as expected is an error; at 20 of them it stops.                                  */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (256 << 10)
#define HEAD_ROOM (16 << 10)
#define CONNECTIONS_MAX 1024
#define ERRORS_MAX 20

typedef struct { const char *data; size_t length; } Piece;
typedef struct {
  int status, check, is_head, numbered;
  uint64_t offset, length;
  size_t pieces;
  Piece *piece;
  char etag[80];
} Request;
typedef struct {
  int fd, busy, fresh;
  void *tls;
  Request *request;
  size_t piece, sent;
  uint64_t began;
  char head[HEAD_ROOM];
  size_t head_have;
  int head_done, status, closing, chunked;
  uint64_t body_left, body_seen;
  char line[64];
  size_t line_have;
  int chunk_state; /* 0 size line, 1 data, 2 end of data, 3 trailer */
} Connection;

static Request *requests;
static size_t request_count;
static char *pattern;
static size_t pattern_length;
static Connection connections[CONNECTIONS_MAX];
static int port, poller;
static size_t connection_count = 1;
static uint64_t *latencies;
static size_t latency_room, ops, begun, least, most = SIZE_MAX, errors, reconnects;
static uint64_t bytes_in, bytes_out, checked, checked_bytes, started, last_done, deadline;
static char first_error[400];
static char buffer[BUFFER];

/* -- TLS, of the system's OpenSSL; its headers need not be there --------------------------------- */

static void *tls_context;
static void *(*ssl_new)(void *);
static int (*ssl_set_fd)(void *, int), (*ssl_connect)(void *), (*ssl_read)(void *, void *, int),
    (*ssl_write)(void *, const void *, int), (*ssl_get_error)(const void *, int);
static void (*ssl_free)(void *);

static void need_tls(const char *ca) {
  void *lib = dlopen("libssl.so.3", RTLD_NOW);
  if (!lib) { fprintf(stderr, "libssl.so.3 is missing\n"); exit(2); }
  void *(*method)(void) = (void *(*)(void))dlsym(lib, "TLS_client_method");
  void *(*context)(void *) = (void *(*)(void *))dlsym(lib, "SSL_CTX_new");
  int (*locations)(void *, const char *, const char *) =
      (int (*)(void *, const char *, const char *))dlsym(lib, "SSL_CTX_load_verify_locations");
  void (*verify)(void *, int, void *) = (void (*)(void *, int, void *))dlsym(lib, "SSL_CTX_set_verify");
  long (*control)(void *, int, long, void *) =
      (long (*)(void *, int, long, void *))dlsym(lib, "SSL_CTX_ctrl");
  ssl_new = (void *(*)(void *))dlsym(lib, "SSL_new");
  ssl_set_fd = (int (*)(void *, int))dlsym(lib, "SSL_set_fd");
  ssl_connect = (int (*)(void *))dlsym(lib, "SSL_connect");
  ssl_read = (int (*)(void *, void *, int))dlsym(lib, "SSL_read");
  ssl_write = (int (*)(void *, const void *, int))dlsym(lib, "SSL_write");
  ssl_get_error = (int (*)(const void *, int))dlsym(lib, "SSL_get_error");
  ssl_free = (void (*)(void *))dlsym(lib, "SSL_free");
  tls_context = context(method());
  if (locations(tls_context, ca, NULL) != 1) { fprintf(stderr, "no CA in %s\n", ca); exit(2); }
  verify(tls_context, 1, NULL);
  control(tls_context, 33 /* SSL_CTRL_MODE */, 1 | 2 /* partial write, moving buffer */, NULL);
}

static void show_certificate(const char *pem) {
  void *lib = dlopen("libssl.so.3", RTLD_NOW);
  int (*chain)(void *, const char *) =
      (int (*)(void *, const char *))dlsym(lib, "SSL_CTX_use_certificate_chain_file");
  int (*key)(void *, const char *, int) =
      (int (*)(void *, const char *, int))dlsym(lib, "SSL_CTX_use_PrivateKey_file");
  if (!tls_context || chain(tls_context, pem) != 1 || key(tls_context, pem, 1) != 1) {
    fprintf(stderr, "no certificate and key in %s, or no --ca before it\n", pem);
    exit(2);
  }
}

/* >0 bytes, 0 end, -1 later, -2 broken */
static int64_t tls_result(Connection *c, int result) {
  if (result > 0) return result;
  int why = ssl_get_error(c->tls, result);
  if (why == 2 || why == 3) return -1;
  return why == 6 ? 0 : -2;
}

static int64_t get_bytes(Connection *c, char *into, size_t room) {
  if (c->tls) return tls_result(c, ssl_read(c->tls, into, (int)room));
  ssize_t count = recv(c->fd, into, room, 0);
  return count >= 0 ? count : (errno == EAGAIN ? -1 : -2);
}

static int64_t send_pieces(Connection *c) {
  Request *r = c->request;
  if (c->tls) {
    Piece *p = &r->piece[c->piece];
    size_t length = p->length - c->sent;
    return tls_result(c, ssl_write(c->tls, p->data + c->sent, length > BUFFER ? BUFFER : (int)length));
  }
  struct iovec parts[32];
  int count = 0;
  size_t skip = c->sent;
  for (size_t i = c->piece; i < r->pieces && count < 32; i++, count++) {
    parts[count] = (struct iovec){(char *)r->piece[i].data + skip, r->piece[i].length - skip};
    skip = 0;
  }
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
  ssize_t sent = sendmsg(c->fd, &message, MSG_NOSIGNAL);
  return sent >= 0 ? sent : (errno == EAGAIN ? -1 : -2);
}

/* -- bookkeeping --------------------------------------------------------------------------------- */

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void watch(Connection *c, uint32_t events, int how) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  epoll_ctl(poller, how, c->fd, &event);
}

static void open_connection(Connection *c) {
  struct sockaddr_in at = {.sin_family = AF_INET,
                           .sin_port = htons((uint16_t)port),
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int yes = 1;
  if (connect(c->fd, (struct sockaddr *)&at, sizeof at)) {
    fprintf(stderr, "port %d: %s\n", port, strerror(errno));
    exit(2);
  }
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (tls_context) {
    c->tls = ssl_new(tls_context);
    ssl_set_fd(c->tls, c->fd);
    if (ssl_connect(c->tls) != 1) { fprintf(stderr, "the TLS handshake fails\n"); exit(2); }
  }
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  c->fresh = 1;
  watch(c, 0, EPOLL_CTL_ADD);
}

static void reopen(Connection *c) {
  if (c->tls) ssl_free(c->tls);
  close(c->fd);
  reconnects++;
  open_connection(c);
}

static void begin(Connection *c);

static void end_operation(Connection *c, const char *failure) {
  uint64_t at = now();
  Request *r = c->request;
  if (!failure && c->status != r->status) failure = "status";
  if (!failure && r->check && c->body_seen != r->length) failure = "length";
  if (failure) {
    if (!errors++)
      snprintf(first_error, sizeof first_error, "%s: request %zu, status %d, %llu bytes: %.120s",
               failure, (size_t)(r - requests), c->status, (unsigned long long)c->body_seen, c->head);
  } else {
    if (ops == latency_room)
      latencies = realloc(latencies, (latency_room = latency_room ? latency_room * 2 : 4096) * 8);
    latencies[ops++] = at - c->began;
    checked += r->check == 1;
  }
  last_done = at;
  c->busy = 0;
  c->fresh = 0;
  if (failure || c->closing) reopen(c);
  if (errors < ERRORS_MAX && begun < most && (at < deadline || begun < least)) begin(c);
  else watch(c, 0, EPOLL_CTL_MOD);
}

static void set_up(Connection *c) {
  c->piece = c->sent = c->head_have = c->line_have = 0;
  c->head_done = c->status = c->closing = c->chunked = c->chunk_state = 0;
  c->body_left = c->body_seen = 0;
  watch(c, EPOLLOUT | EPOLLIN, EPOLL_CTL_MOD);
}

static void begin(Connection *c) {
  c->request = &requests[begun++ % request_count];
  c->busy = 1;
  c->began = now();
  set_up(c);
}

/* -- answers ------------------------------------------------------------------------------------- */

/* 0: as it should be. */
static int take_body(Connection *c, const char *data, size_t length) {
  Request *r = c->request;
  bytes_in += length;
  if (r->check == 1 && c->status == r->status) {
    if (c->body_seen + length > r->length) return -1;
    uint64_t at = (r->offset + c->body_seen) % pattern_length;
    for (size_t done = 0; done < length;) {
      size_t here = pattern_length - at < length - done ? pattern_length - at : length - done;
      if (memcmp(data + done, pattern + at, here)) return -1;
      done += here;
      at = 0;
    }
    checked_bytes += length;
  }
  c->body_seen += length;
  return 0;
}

static int parse_head(Connection *c) {
  if (sscanf(c->head, "HTTP/1.%*d %d", &c->status) != 1) return -1;
  int sized = 0;
  for (char *line = strstr(c->head, "\r\n"); line && line[2]; line = strstr(line + 2, "\r\n")) {
    const char *at = line + 2;
    if (!strncasecmp(at, "content-length:", 15)) {
      c->body_left = strtoull(at + 15, NULL, 10);
      sized = 1;
    } else if (!strncasecmp(at, "transfer-encoding: chunked", 26)) c->chunked = 1;
    else if (!strncasecmp(at, "connection: close", 17)) c->closing = 1;
    else if (!strncasecmp(at, "etag:", 5) && c->request->numbered)
      sscanf(at + 5, " \"%79[^\"]", c->request->etag);
  }
  if (c->request->is_head || c->status == 204 || c->status == 304) c->body_left = 0;
  else if (!sized && !c->chunked) return -1;
  return 0;
}

/* 1: the answer is whole, 0: more is to come, -1: wrong. */
static int take_chunked(Connection *c, const char *data, size_t length) {
  while (length) {
    if (c->chunk_state == 1) {
      size_t here = c->body_left < length ? c->body_left : length;
      if (take_body(c, data, here)) return -1;
      data += here;
      length -= here;
      c->body_left -= here;
      if (!c->body_left) c->chunk_state = 2;
      continue;
    }
    char byte = *data++;
    length--;
    if (byte != '\n') {
      if (c->line_have < sizeof c->line - 1 && byte != '\r') c->line[c->line_have++] = byte;
      continue;
    }
    c->line[c->line_have] = 0;
    size_t had = c->line_have;
    c->line_have = 0;
    if (c->chunk_state == 0) {
      c->body_left = strtoull(c->line, NULL, 16);
      c->chunk_state = c->body_left ? 1 : 3;
    } else if (c->chunk_state == 2) c->chunk_state = 0;
    else if (!had) return 1;
  }
  return 0;
}

static int take(Connection *c, const char *data, size_t length) {
  if (!c->head_done) {
    size_t room = HEAD_ROOM - 1 - c->head_have, had = c->head_have;
    size_t count = length < room ? length : room;
    memcpy(c->head + had, data, count);
    c->head_have += count;
    c->head[c->head_have] = 0;
    char *end = strstr(c->head + (had > 3 ? had - 3 : 0), "\r\n\r\n");
    if (!end) return count < length ? -1 : 0;
    size_t head = (size_t)(end - c->head) + 4;
    end[2] = 0;
    if (!strncmp(c->head, "HTTP/1.1 100", 12)) {
      c->head_have = 0;
      return take(c, data + (head - had), length - (head - had));
    }
    if (parse_head(c)) return -1;
    c->head_done = 1;
    data += head - had;
    length -= head - had;
  }
  if (c->chunked) return take_chunked(c, data, length);
  if (length > c->body_left || take_body(c, data, length)) return -1;
  c->body_left -= length;
  return c->body_left == 0;
}

static void can_read(Connection *c) {
  for (int turns = 0; c->busy && turns < 16; turns++) {
    int64_t count = get_bytes(c, buffer, BUFFER);
    if (count == -1) return;
    if (count <= 0) {
      /* A connection that was kept may have been closed meanwhile: the request goes out again. */
      if (!c->fresh && !c->head_have && c->began + 1000000000ull > now()) {
        reopen(c);
        set_up(c);
        return;
      }
      end_operation(c, "the connection ended");
      return;
    }
    int done = take(c, buffer, (size_t)count);
    if (done < 0) { end_operation(c, "the body is not what was put there"); return; }
    if (done) {
      if (c->piece < c->request->pieces) c->closing = 1; /* refused before it was all sent */
      end_operation(c, NULL);
      return;
    }
  }
}

static void can_write(Connection *c) {
  Request *r = c->request;
  for (int turns = 0; c->piece < r->pieces && turns < 16; turns++) {
    int64_t sent = send_pieces(c);
    if (sent == -1) return;
    if (sent < 0) break; /* what the other side said stands in the buffer, perhaps */
    bytes_out += (uint64_t)sent;
    c->sent += (size_t)sent;
    while (c->piece < r->pieces && c->sent >= r->piece[c->piece].length) {
      c->sent -= r->piece[c->piece].length;
      c->piece++;
    }
  }
  if (c->piece == r->pieces) watch(c, EPOLLIN, EPOLL_CTL_MOD);
}

/* -- set-up -------------------------------------------------------------------------------------- */

static char *map(const char *path, size_t *length) {
  struct stat told;
  int fd = open(path, O_RDONLY);
  if (fd < 0 || fstat(fd, &told) || !told.st_size) { perror(path); exit(2); }
  *length = (size_t)told.st_size;
  char *at = mmap(NULL, *length, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
  close(fd);
  return at;
}

static void load_requests(const char *path) {
  size_t length, room = 0;
  char *at = map(path, &length), *end = at + length;
  while (at < end) {
    if (request_count == room)
      requests = realloc(requests, (room = room ? room * 2 : 64) * sizeof *requests);
    Request *r = &requests[request_count++];
    memset(r, 0, sizeof *r);
    unsigned long long offset, whole;
    if (sscanf(at, "Q %d %d %llu %llu %zu", &r->status, &r->check, &offset, &whole, &r->pieces) != 5)
      goto broken;
    r->offset = offset;
    r->length = whole;
    r->piece = calloc(r->pieces, sizeof(Piece));
    at = strchr(at, '\n') + 1;
    for (size_t i = 0; i < r->pieces; i++) {
      size_t from = 0, count;
      if (*at == 'L' && sscanf(at, "L %zu", &count) == 1) {
        at = strchr(at, '\n') + 1;
        r->piece[i] = (Piece){at, count};
        at += count;
      } else if (sscanf(at, "P %zu %zu", &from, &count) == 2 && from + count <= pattern_length) {
        at = strchr(at, '\n') + 1;
        r->piece[i] = (Piece){pattern + from, count};
      } else goto broken;
    }
    r->is_head = !strncmp(r->piece[0].data, "HEAD ", 5);
    r->numbered = memmem(r->piece[0].data, r->piece[0].length, "partNumber=", 11) != NULL;
  }
  return;
broken:
  fprintf(stderr, "request %zu is malformed\n", request_count);
  exit(2);
}

static int by_size(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static double micros(double share) {
  return ops ? (double)latencies[(size_t)((double)(ops - 1) * share + 0.5)] / 1000.0 : 0;
}

static void report(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  if (ops) qsort(latencies, ops, sizeof *latencies, by_size);
  for (char *p = first_error; *p; p++)
    if (*p == '"' || *p == '\\' || *p < ' ') *p = '\'';
  printf("{\"operations\": %zu, \"seconds\": %.6f, \"bytes_in\": %llu, \"bytes_out\": %llu, "
         "\"p50_us\": %.1f, \"p99_us\": %.1f, \"errors\": %zu, \"first_error\": \"%s\", "
         "\"reconnects\": %zu, \"checked\": %llu, \"checked_bytes\": %llu, "
         "\"client_cpu_seconds\": %.3f, \"etags\": [",
         ops, (double)(last_done - started) / 1e9, (unsigned long long)bytes_in,
         (unsigned long long)bytes_out, micros(0.5), micros(0.99), errors, first_error, reconnects,
         (unsigned long long)checked, (unsigned long long)checked_bytes,
         (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
             (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
  const char *comma = "";
  for (size_t i = 0; i < request_count; i++)
    if (requests[i].numbered) {
      printf("%s\"%s\"", comma, requests[i].etag);
      comma = ", ";
    }
  printf("]}\n");
}

int main(int argc, char **argv) {
  double seconds = 1;
  const char *request_file = NULL, *pattern_file = NULL;
  for (int i = 1; i + 1 < argc; i += 2) {
    const char *name = argv[i], *value = argv[i + 1];
    if (!strcmp(name, "--port")) port = atoi(value);
    else if (!strcmp(name, "--connections")) connection_count = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--seconds")) seconds = atof(value);
    else if (!strcmp(name, "--least")) least = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--most")) most = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--requests")) request_file = value;
    else if (!strcmp(name, "--pattern")) pattern_file = value;
    else if (!strcmp(name, "--ca")) need_tls(value);
    else if (!strcmp(name, "--cert")) show_certificate(value);
    else { fprintf(stderr, "%s is no option\n", name); return 2; }
  }
  if (!request_file || !pattern_file || !connection_count || connection_count > CONNECTIONS_MAX)
    return 2;
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  alarm((unsigned)seconds + 300);
  pattern = map(pattern_file, &pattern_length);
  load_requests(request_file);
  poller = epoll_create1(EPOLL_CLOEXEC);
  for (size_t i = 0; i < connection_count; i++) open_connection(&connections[i]);
  started = last_done = now();
  deadline = started + (uint64_t)(seconds * 1e9);
  for (size_t i = 0; i < connection_count && begun < most; i++) begin(&connections[i]);
  size_t busy = 1;
  while (busy) {
    struct epoll_event ready[128];
    int count = epoll_wait(poller, ready, 128, 1000);
    for (int i = 0; i < count; i++) {
      Connection *c = ready[i].data.ptr;
      if (c->busy && ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) can_read(c);
      if (c->busy && ready[i].events & EPOLLOUT) can_write(c);
    }
    busy = 0;
    for (size_t i = 0; i < connection_count; i++) busy += (size_t)connections[i].busy;
  }
  report();
  return errors ? 1 : 0;
}
