/* A store with the shape of S3 that keeps everything in memory: the peer that is never the bottleneck.

   One thread, epoll, HTTP/1.1 with keep-alive, loopback only.  It checks no signature; it decides
   conditions, takes the framing of trailing checksums off and verifies them (CRC32C), keeps the
   headers of an object, answers ranges, listings and uploads in parts.  What else S3 offers is
   answered with 501.  Its memory is bounded, and it ends with its parent or after --seconds.

   A body over --forget-over is counted and dropped, for streams that would fill any memory.

   usage: store --max-bytes N --seconds N --forget-over N      (prints its port, then serves)      */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (256 << 10)
#define HEAD_MAX (32 << 10)
#define TABLE (1 << 16)
#define NAME_MAX_BYTES 2048
#define PARTS_MAX 10000

typedef struct { char *data; uint32_t length, room; } Piece;
typedef struct { Piece *pieces; size_t count, room; uint64_t size; int users; } Body;
typedef struct Object {
  struct Object *next;
  char *name; /* bucket/key, decoded */
  char *headers;
  char etag[40];
  time_t modified;
  Body *body;
} Object;
typedef struct { Body *body; char etag[40]; } Part;
typedef struct Upload {
  struct Upload *next;
  uint64_t id;
  char *name, *headers;
  Part parts[PARTS_MAX + 1];
} Upload;
typedef enum { HEAD, PLAIN, FRAME, FRAMED, FRAME_END, TRAILER, ANSWER } State;
typedef struct {
  int fd;
  State state;
  char in[HEAD_MAX];
  size_t have, used;
  /* of the request */
  char method[8], name[NAME_MAX_BYTES], query[4096];
  char match[64], none_match[64], range[64], trailer[64];
  char *kept;
  uint64_t wire_left, frame_left;
  uint32_t crc;
  int framed, forget, bad, closing, watched;
  Body *body;
  /* of the answer */
  char *out;
  size_t out_length, out_sent;
  Body *from;
  size_t piece;
  uint64_t skip, left;
} Connection;

static Object *table[TABLE];
static Upload *uploads;
static char *free_blocks;
static uint64_t bytes_held, bytes_max = 4ull << 30, forget_over = UINT64_MAX, serial;
static char scratch[BLOCK];
static int poller;

/* -- memory ------------------------------------------------------------------------------------ */

static char *take(uint32_t room) {
  bytes_held += room;
  if (room == BLOCK && free_blocks) {
    char *block = free_blocks;
    memcpy(&free_blocks, block, sizeof(char *));
    return block;
  }
  return malloc(room);
}

static void give(Piece *piece) {
  bytes_held -= piece->room;
  if (piece->room == BLOCK) {
    memcpy(piece->data, &free_blocks, sizeof(char *));
    free_blocks = piece->data;
  } else {
    free(piece->data);
  }
}

static Body *body_new(void) {
  Body *body = calloc(1, sizeof *body);
  body->users = 1;
  return body;
}

static void body_drop(Body *body) {
  if (!body || --body->users) return;
  for (size_t i = 0; i < body->count; i++) give(&body->pieces[i]);
  free(body->pieces);
  free(body);
}

/* Room for more of a body: the end of its last piece, or a new one. */
static char *body_room(Body *body, uint64_t wanted, uint32_t *room) {
  Piece *last = body->count ? &body->pieces[body->count - 1] : NULL;
  if (!last || last->length == last->room) {
    if (body->count == body->room) {
      body->room = body->room ? body->room * 2 : 4;
      body->pieces = realloc(body->pieces, body->room * sizeof(Piece));
    }
    last = &body->pieces[body->count++];
    last->room = wanted > (BLOCK / 4) ? BLOCK : (wanted < 64 ? 64 : (uint32_t)wanted);
    last->length = 0;
    last->data = take(last->room);
  }
  *room = last->room - last->length;
  return last->data + last->length;
}

static void body_grew(Connection *c, uint32_t count) {
  Piece *last = &c->body->pieces[c->body->count - 1];
  last->length += count;
  c->body->size += count;
}

static uint32_t crc_table[256];
static uint32_t crc_plain(uint32_t crc, const unsigned char *data, size_t length) {
  for (size_t i = 0; i < length; i++) crc = crc_table[(crc ^ data[i]) & 255] ^ (crc >> 8);
  return crc;
}
#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t crc_fast(uint32_t crc, const unsigned char *data,
                                                           size_t length) {
  uint64_t wide = crc;
  for (; length >= 8; data += 8, length -= 8) {
    uint64_t word;
    memcpy(&word, data, 8);
    wide = __builtin_ia32_crc32di(wide, word);
  }
  return crc_plain((uint32_t)wide, data, length);
}
#endif
static uint32_t (*crc_more)(uint32_t, const unsigned char *, size_t) = crc_plain;

/* -- names ------------------------------------------------------------------------------------- */

static void decode(char *out, size_t room, const char *text, size_t length, int plus) {
  size_t at = 0;
  for (size_t i = 0; i < length && at + 1 < room; i++) {
    if (text[i] == '%' && i + 2 < length + 0 && isxdigit((unsigned char)text[i + 1]) &&
        isxdigit((unsigned char)text[i + 2])) {
      char digits[3] = {text[i + 1], text[i + 2], 0};
      out[at++] = (char)strtol(digits, NULL, 16);
      i += 2;
    } else {
      out[at++] = plus && text[i] == '+' ? ' ' : text[i];
    }
  }
  out[at] = 0;
}

static int asked(const Connection *c, const char *name, char *value, size_t room) {
  const char *at = c->query;
  size_t length = strlen(name);
  while (at && *at) {
    const char *end = strchrnul(at, '&');
    if (!strncmp(at, name, length) && (at[length] == '=' || at + length == end)) {
      const char *from = at[length] == '=' ? at + length + 1 : end;
      if (value) decode(value, room, from, (size_t)(end - from), 1);
      return 1;
    }
    at = *end ? end + 1 : NULL;
  }
  return 0;
}

static unsigned hash(const char *name) {
  unsigned h = 2166136261u;
  for (; *name; name++) h = (h ^ (unsigned char)*name) * 16777619u;
  return h % TABLE;
}

static Object **find(const char *name) {
  Object **at = &table[hash(name)];
  while (*at && strcmp((*at)->name, name)) at = &(*at)->next;
  return at;
}

static void object_free(Object *object) {
  body_drop(object->body);
  free(object->name);
  free(object->headers);
  free(object);
}

static void new_etag(char *etag) {
  uint64_t mixed = ++serial * 0x9E3779B97F4A7C15ull;
  snprintf(etag, 40, "%016llx%016llx", (unsigned long long)mixed, (unsigned long long)serial);
}

static void put(const char *name, char *headers, Body *body, char *etag) {
  Object **at = find(name);
  Object *object = calloc(1, sizeof *object);
  object->name = strdup(name);
  object->headers = headers ? headers : strdup("");
  object->body = body;
  object->modified = time(NULL);
  snprintf(object->etag, sizeof object->etag, "%s", etag);
  if (*at) {
    Object *old = *at;
    object->next = old->next;
    object_free(old);
  }
  *at = object;
}

/* -- answers ----------------------------------------------------------------------------------- */

static const char *http_date(time_t at) {
  static time_t last;
  static char text[40];
  if (at != last) {
    struct tm parts;
    gmtime_r(&at, &parts);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    last = at;
  }
  return text;
}

static const char *reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 409: return "Conflict";
    case 412: return "Precondition Failed";
    case 416: return "Range Not Satisfiable";
    case 503: return "Service Unavailable";
    default: return "Not Implemented";
  }
}

/* Begin the answer; `headers` are whole lines, `body` follows unless the method is HEAD. */
static void answer(Connection *c, int status, const char *headers, const char *body, size_t length,
                   uint64_t told) {
  time_t now = time(NULL);
  char date[40];
  snprintf(date, sizeof date, "%s", http_date(now));
  size_t room = strlen(headers) + length + 512;
  c->out = malloc(room);
  int head = snprintf(c->out, room, "HTTP/1.1 %d %s\r\nServer: store\r\nDate: %s\r\n%s", status,
                      reason(status), date, headers);
  if (status != 204 && status != 304)
    head += snprintf(c->out + head, room - (size_t)head, "Content-Length: %llu\r\n",
                     (unsigned long long)told);
  head += snprintf(c->out + head, room - (size_t)head, "%s\r\n",
                   c->closing ? "Connection: close\r\n" : "");
  c->out_length = (size_t)head;
  if (body && strcmp(c->method, "HEAD")) {
    memcpy(c->out + head, body, length);
    c->out_length += length;
  }
  c->out_sent = 0;
  c->state = ANSWER;
}

static void answer_text(Connection *c, int status, const char *headers, const char *body) {
  answer(c, status, headers, body, strlen(body), strlen(body));
}

static void refuse(Connection *c, int status, const char *code) {
  char text[256];
  snprintf(text, sizeof text, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>%s</Message></Error>",
           code, code);
  answer_text(c, status, "Content-Type: application/xml\r\n", text);
}

typedef struct { char *text; size_t length, room; } Text;
static void add(Text *t, const char *format, ...) {
  va_list given;
  for (;;) {
    va_start(given, format);
    int count = vsnprintf(t->text ? t->text + t->length : NULL, t->room - t->length, format, given);
    va_end(given);
    if (t->length + (size_t)count < t->room) {
      t->length += (size_t)count;
      return;
    }
    t->room = (t->room + (size_t)count) * 2 + 256;
    t->text = realloc(t->text, t->room);
  }
}

static void add_encoded(Text *t, const char *name) {
  for (; *name; name++) {
    if (isalnum((unsigned char)*name) || strchr("/-_.~", *name)) add(t, "%c", *name);
    else add(t, "%%%02X", (unsigned char)*name);
  }
}

static void answer_xml(Connection *c, Text *t) {
  answer(c, 200, "Content-Type: application/xml\r\n", t->text, t->length, t->length);
  free(t->text);
}

static int by_name(const void *a, const void *b) {
  return strcmp((*(Object *const *)a)->name, (*(Object *const *)b)->name);
}

static void list(Connection *c) {
  char prefix[NAME_MAX_BYTES] = "", after[NAME_MAX_BYTES] = "", token[NAME_MAX_BYTES] = "";
  char delimiter[16] = "", most[16] = "1000";
  asked(c, "prefix", prefix, sizeof prefix);
  asked(c, "start-after", after, sizeof after);
  asked(c, "delimiter", delimiter, sizeof delimiter);
  asked(c, "max-keys", most, sizeof most);
  if (asked(c, "continuation-token", token, sizeof token) && *token) strcpy(after, token);
  size_t bucket = strlen(c->name), count = 0, room = 1024, want = strlen(prefix);
  Object **found = malloc(room * sizeof *found);
  for (size_t i = 0; i < TABLE; i++)
    for (Object *o = table[i]; o; o = o->next) {
      if (strncmp(o->name, c->name, bucket) || o->name[bucket] != '/') continue;
      const char *key = o->name + bucket + 1;
      if (strncmp(key, prefix, want) || strcmp(key, after) <= 0) continue;
      if (count == room) found = realloc(found, (room *= 2) * sizeof *found);
      found[count++] = o;
    }
  qsort(found, count, sizeof *found, by_name);
  Text t = {0}, common = {0};
  int limit = atoi(most), told = 0, cut = 0;
  char last[NAME_MAX_BYTES] = "", group[NAME_MAX_BYTES] = "";
  add(&t, "<?xml version=\"1.0\"?><ListBucketResult><Name>%s</Name><EncodingType>url</EncodingType>",
      c->name);
  add(&common, "%s", "");
  for (size_t i = 0; i < count; i++) {
    const char *key = found[i]->name + bucket + 1;
    const char *end = *delimiter ? strstr(key + want, delimiter) : NULL;
    if (end) {
      size_t length = (size_t)(end - key) + strlen(delimiter);
      if (*group && !strncmp(group, key, length) && strlen(group) == length) {
        snprintf(last, sizeof last, "%s", key);
        continue;
      }
      if (*after && !strncmp(after, key, length)) continue;
      if (told == limit) { cut = 1; break; }
      snprintf(group, sizeof group, "%.*s", (int)length, key);
      add(&common, "<CommonPrefixes><Prefix>");
      add_encoded(&common, group);
      add(&common, "</Prefix></CommonPrefixes>");
    } else {
      if (told == limit) { cut = 1; break; }
      struct tm parts;
      char when[40];
      gmtime_r(&found[i]->modified, &parts);
      strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S.000Z", &parts);
      add(&t, "<Contents><Key>");
      add_encoded(&t, key);
      add(&t, "</Key><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag><Size>%llu</Size>"
          "<StorageClass>STANDARD</StorageClass></Contents>", when, found[i]->etag,
          (unsigned long long)found[i]->body->size);
    }
    told++;
    snprintf(last, sizeof last, "%s", key);
  }
  add(&t, "%s<KeyCount>%d</KeyCount><MaxKeys>%d</MaxKeys><IsTruncated>%s</IsTruncated>",
      common.text, told, limit, cut ? "true" : "false");
  if (cut) {
    add(&t, "<NextContinuationToken>");
    add_encoded(&t, last);
    add(&t, "</NextContinuationToken>");
  }
  add(&t, "</ListBucketResult>");
  free(found);
  free(common.text);
  answer_xml(c, &t);
}

static int has_bucket(const char *bucket) { return *find(bucket) != NULL; }

/* The whole of the condition; 0 when it holds. */
static int condition(Connection *c, Object *object) {
  if (*c->match) {
    if (!object) return 412;
    if (strcmp(c->match, "*") && strcmp(c->match, object->etag)) return 412;
  }
  if (*c->none_match && object &&
      (!strcmp(c->none_match, "*") || !strcmp(c->none_match, object->etag)))
    return strcmp(c->method, "GET") && strcmp(c->method, "HEAD") ? 412 : 304;
  return 0;
}

static void get(Connection *c) {
  Object *object = *find(c->name);
  if (!object) { refuse(c, 404, "NoSuchKey"); return; }
  int failed = condition(c, object);
  if (failed) {
    if (failed == 304) answer_text(c, 304, "", "");
    else refuse(c, failed, "PreconditionFailed");
    return;
  }
  uint64_t size = object->body->size, first = 0, stop = size;
  if (size && !object->body->count) { refuse(c, 501, "NotImplemented"); return; }
  char headers[HEAD_MAX + 512], ranged[96] = "";
  int status = 200;
  if (!strncmp(c->range, "bytes=", 6)) {
    char *text = c->range + 6, *end;
    if (*text == '-') {
      uint64_t suffix = strtoull(text + 1, NULL, 10);
      first = suffix < size ? size - suffix : 0;
    } else {
      first = strtoull(text, &end, 10);
      if (*end == '-' && end[1]) {
        uint64_t last = strtoull(end + 1, NULL, 10);
        if (last + 1 < size) stop = last + 1;
      }
    }
    if (first >= size) { refuse(c, 416, "InvalidRange"); return; }
    status = 206;
    snprintf(ranged, sizeof ranged, "Content-Range: bytes %llu-%llu/%llu\r\n",
             (unsigned long long)first, (unsigned long long)stop - 1, (unsigned long long)size);
  }
  snprintf(headers, sizeof headers,
           "ETag: \"%s\"\r\nLast-Modified: %s\r\nAccept-Ranges: bytes\r\n%s%s", object->etag,
           http_date(object->modified), object->headers, ranged);
  answer(c, status, headers, NULL, 0, stop - first);
  if (strcmp(c->method, "GET")) return;
  c->from = object->body;
  c->from->users++;
  c->piece = 0;
  c->skip = first;
  c->left = stop - first;
  while (c->piece < c->from->count && c->skip >= c->from->pieces[c->piece].length)
    c->skip -= c->from->pieces[c->piece++].length;
}

static Upload **upload_of(Connection *c) {
  char id[64] = "";
  asked(c, "uploadId", id, sizeof id);
  Upload **at = &uploads;
  while (*at && ((*at)->id != strtoull(id, NULL, 16) || strcmp((*at)->name, c->name)))
    at = &(*at)->next;
  return at;
}

static void upload_drop(Upload **at) {
  Upload *gone = *at;
  *at = gone->next;
  for (int i = 0; i <= PARTS_MAX; i++) body_drop(gone->parts[i].body);
  free(gone->name);
  free(gone->headers);
  free(gone);
}

static void complete(Connection *c) {
  Upload **at = upload_of(c);
  if (!*at) { refuse(c, 404, "NoSuchUpload"); return; }
  if (condition(c, *find(c->name))) { refuse(c, 412, "PreconditionFailed"); return; }
  Text wanted = {0};
  add(&wanted, "%s", "");
  for (size_t i = 0; i < c->body->count; i++)
    add(&wanted, "%.*s", (int)c->body->pieces[i].length, c->body->pieces[i].data);
  Body *whole = body_new();
  int count = 0;
  for (char *p = wanted.text; (p = strstr(p, "<PartNumber>")); p += 12) {
    int number = atoi(p + 12);
    Body *part = number > 0 && number <= PARTS_MAX ? (*at)->parts[number].body : NULL;
    if (!part) {
      body_drop(whole);
      free(wanted.text);
      refuse(c, 400, "InvalidPart");
      return;
    }
    whole->pieces = realloc(whole->pieces, (whole->count + part->count) * sizeof(Piece));
    memcpy(whole->pieces + whole->count, part->pieces, part->count * sizeof(Piece));
    whole->room = whole->count += part->count;
    whole->size += part->size;
    part->count = 0; /* the pieces are the object's now */
    count++;
  }
  free(wanted.text);
  char etag[48];
  new_etag(etag);
  snprintf(etag + 32, sizeof etag - 32, "-%d", count % 10000);
  put(c->name, strdup((*at)->headers), whole, etag);
  upload_drop(at);
  Text t = {0};
  add(&t, "<?xml version=\"1.0\"?><CompleteMultipartUploadResult><ETag>&quot;%s&quot;</ETag>"
      "</CompleteMultipartUploadResult>", (*find(c->name))->etag);
  answer_xml(c, &t);
}

static void begin(Connection *c) {
  Upload *upload = calloc(1, sizeof *upload);
  upload->id = ++serial;
  upload->name = strdup(c->name);
  upload->headers = c->kept ? c->kept : strdup("");
  c->kept = NULL;
  upload->next = uploads;
  uploads = upload;
  Text t = {0};
  add(&t, "<?xml version=\"1.0\"?><InitiateMultipartUploadResult><UploadId>%016llx</UploadId>"
      "</InitiateMultipartUploadResult>", (unsigned long long)upload->id);
  answer_xml(c, &t);
}

static void list_parts(Connection *c) {
  Upload *upload = *upload_of(c);
  if (!upload) { refuse(c, 404, "NoSuchUpload"); return; }
  char after[16] = "0";
  asked(c, "part-number-marker", after, sizeof after);
  Text t = {0};
  add(&t, "<?xml version=\"1.0\"?><ListPartsResult><IsTruncated>false</IsTruncated>");
  for (int i = atoi(after) + 1; i <= PARTS_MAX; i++)
    if (upload->parts[i].body)
      add(&t, "<Part><PartNumber>%d</PartNumber><ETag>&quot;%s&quot;</ETag><Size>%llu</Size></Part>",
          i, upload->parts[i].etag, (unsigned long long)upload->parts[i].body->size);
  add(&t, "</ListPartsResult>");
  answer_xml(c, &t);
}

static void put_done(Connection *c, int is_object) {
  char headers[96], etag[48], number[16] = "";
  if (c->bad) { refuse(c, 400, "BadDigest"); return; }
  new_etag(etag);
  etag[32] = 0;
  if (asked(c, "partNumber", number, sizeof number)) {
    Upload *upload = *upload_of(c);
    int at = atoi(number);
    if (!upload || at < 1 || at > PARTS_MAX) { refuse(c, 404, "NoSuchUpload"); return; }
    body_drop(upload->parts[at].body);
    upload->parts[at].body = c->body;
    strcpy(upload->parts[at].etag, etag);
  } else {
    if (is_object && condition(c, *find(c->name))) { refuse(c, 412, "PreconditionFailed"); return; }
    put(c->name, c->kept, c->body, etag);
    c->kept = NULL;
  }
  c->body = NULL;
  snprintf(headers, sizeof headers, "ETag: \"%s\"\r\n", etag);
  answer_text(c, 200, headers, "");
}

static void list_buckets(Connection *c) {
  Text t = {0};
  add(&t, "<?xml version=\"1.0\"?><ListAllMyBucketsResult><Buckets>");
  for (size_t i = 0; i < TABLE; i++)
    for (Object *o = table[i]; o; o = o->next)
      if (!strchr(o->name, '/')) add(&t, "<Bucket><Name>%s</Name></Bucket>", o->name);
  add(&t, "</Buckets></ListAllMyBucketsResult>");
  answer_xml(c, &t);
}

static void delete(Connection *c, int is_object) {
  Object **at = find(c->name);
  if (asked(c, "uploadId", NULL, 0)) {
    Upload **upload = upload_of(c);
    if (!*upload) { refuse(c, 404, "NoSuchUpload"); return; }
    upload_drop(upload);
  } else {
    if (is_object && condition(c, *at)) { refuse(c, 412, "PreconditionFailed"); return; }
    if (*at) {
      Object *gone = *at;
      *at = gone->next;
      object_free(gone);
    }
  }
  answer_text(c, 204, "", "");
}

/* The request is here with its body: do it. */
static void act(Connection *c) {
  char *slash = strchr(c->name, '/');
  int is_object = slash && slash[1];
  if (slash && !slash[1]) *slash = 0;
  char bucket[NAME_MAX_BYTES];
  snprintf(bucket, sizeof bucket, "%.*s", (int)strcspn(c->name, "/"), c->name);
  int reads = !strcmp(c->method, "GET") || !strcmp(c->method, "HEAD");
  static const char *const offered[] = {"list-type", "uploads", "uploadId", "partNumber", NULL};
  int known = !*c->query || strstr(c->query, "x-id=") || asked(c, "prefix", NULL, 0);
  for (int i = 0; offered[i]; i++) known |= asked(c, offered[i], NULL, 0);
  if (!known) refuse(c, 501, "NotImplemented");
  else if (!*c->name && reads) list_buckets(c);
  else if (!has_bucket(bucket) && (is_object || strcmp(c->method, "PUT"))) refuse(c, 404, "NoSuchBucket");
  else if (!strcmp(c->method, "PUT")) put_done(c, is_object);
  else if (!strcmp(c->method, "DELETE")) delete(c, is_object);
  else if (!strcmp(c->method, "POST") && asked(c, "uploads", NULL, 0)) begin(c);
  else if (!strcmp(c->method, "POST") && asked(c, "uploadId", NULL, 0)) complete(c);
  else if (reads && asked(c, "uploads", NULL, 0)) {
    Text t = {0};
    add(&t, "<ListMultipartUploadsResult></ListMultipartUploadsResult>");
    answer_xml(c, &t);
  } else if (reads && asked(c, "uploadId", NULL, 0)) list_parts(c);
  else if (reads && is_object) get(c);
  else if (!strcmp(c->method, "HEAD")) answer_text(c, 200, "", "");
  else if (reads) list(c);
  else refuse(c, 501, "NotImplemented");
}

/* -- requests ---------------------------------------------------------------------------------- */

static const char *const KEPT[] = {"content-type", "content-disposition", "content-language",
                                   "content-encoding", "cache-control", "expires", NULL};

static void keep(Connection *c, const char *name, const char *value) {
  if (!strcasecmp(name, "content-encoding") && strstr(value, "aws-chunked")) return;
  size_t had = c->kept ? strlen(c->kept) : 0, more = strlen(name) + strlen(value) + 5;
  c->kept = realloc(c->kept, had + more);
  snprintf(c->kept + had, more, "%s: %s\r\n", name, value);
}

static void unquote(char *out, size_t room, const char *value) {
  if (*value == '"') value++;
  snprintf(out, room, "%s", value);
  size_t length = strlen(out);
  if (length && out[length - 1] == '"') out[length - 1] = 0;
}

static void header(Connection *c, const char *name, const char *value, int *copying, int *expects) {
  if (!strcasecmp(name, "content-length")) c->wire_left = strtoull(value, NULL, 10);
  else if (!strcasecmp(name, "if-match")) unquote(c->match, sizeof c->match, value);
  else if (!strcasecmp(name, "if-none-match")) unquote(c->none_match, sizeof c->none_match, value);
  else if (!strcasecmp(name, "range")) snprintf(c->range, sizeof c->range, "%s", value);
  else if (!strcasecmp(name, "x-amz-trailer")) snprintf(c->trailer, sizeof c->trailer, "%s", value);
  else if (!strcasecmp(name, "x-amz-copy-source")) *copying = 1;
  else if (!strcasecmp(name, "x-amz-content-sha256")) c->framed = !strncmp(value, "STREAMING-", 10);
  else if (!strcasecmp(name, "expect")) *expects = 1;
  else if (!strcasecmp(name, "connection")) c->closing = !strcasecmp(value, "close");
  else if (!strncasecmp(name, "x-amz-meta-", 11)) keep(c, name, value);
  else
    for (int i = 0; KEPT[i]; i++)
      if (!strcasecmp(name, KEPT[i])) keep(c, name, value);
}

static void reset(Connection *c) {
  body_drop(c->body);
  body_drop(c->from);
  free(c->kept);
  free(c->out);
  c->body = c->from = NULL;
  c->kept = c->out = NULL;
  c->match[0] = c->none_match[0] = c->range[0] = c->trailer[0] = c->query[0] = 0;
  c->wire_left = c->frame_left = c->left = c->skip = 0;
  c->out_length = c->out_sent = c->piece = 0;
  c->framed = c->bad = 0;
  c->crc = ~0u;
  c->state = HEAD;
}

/* Take a head off the buffer; 0: more is needed, -1: it is none. */
static int parse(Connection *c) {
  char *from = c->in + c->used, *end = memmem(from, c->have - c->used, "\r\n\r\n", 4);
  if (!end) return c->have - c->used >= HEAD_MAX - 1 ? -1 : 0;
  int copying = 0, expects = 0;
  end[2] = 0;
  char *line_end = strstr(from, "\r\n"), *target = strchr(from, ' ');
  if (!target || target > line_end || target - from > 7) return -1;
  snprintf(c->method, sizeof c->method, "%.*s", (int)(target - from), from);
  char *target_end = memchr(target + 1, ' ', (size_t)(line_end - target - 1));
  if (!target_end || target[1] != '/') return -1;
  char *query = memchr(target, '?', (size_t)(target_end - target));
  char *path_end = query ? query : target_end;
  decode(c->name, sizeof c->name, target + 2, (size_t)(path_end - target - 2), 0);
  if (query) snprintf(c->query, sizeof c->query, "%.*s", (int)(target_end - query - 1), query + 1);
  for (char *line = line_end + 2; *line;) {
    char *stop = strstr(line, "\r\n");
    if (!stop) break;
    *stop = 0;
    char *colon = strchr(line, ':');
    if (!colon) return -1;
    *colon = 0;
    char *value = colon + 1;
    while (*value == ' ') value++;
    header(c, line, value, &copying, &expects);
    line = stop + 2;
  }
  c->used = (size_t)(end - c->in) + 4;
  if (copying) {
    c->closing = c->wire_left > 0;
    refuse(c, 501, "NotImplemented");
    return 1;
  }
  c->forget = c->wire_left > forget_over;
  if (!c->forget && bytes_held + c->wire_left > bytes_max) {
    c->closing = 1;
    refuse(c, 503, "ServiceUnavailable");
    return 1;
  }
  c->body = body_new();
  c->state = c->wire_left ? (c->framed ? FRAME : PLAIN) : HEAD;
  if (expects && c->wire_left && send(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL) < 0)
    return -1;
  if (!c->wire_left) act(c);
  return 1;
}

static int64_t receive(Connection *c, char *into, size_t most) {
  size_t held = c->have - c->used;
  if (held) {
    size_t count = held < most ? held : most;
    memcpy(into, c->in + c->used, count);
    c->used += count;
    return (int64_t)count;
  }
  ssize_t count = recv(c->fd, into, most, 0);
  if (count == 0) return -1;
  if (count < 0) return errno == EAGAIN ? 0 : -1;
  return count;
}

/* Bytes of the body, straight into its pieces; 0: no more now. */
static int take_data(Connection *c, uint64_t *left) {
  uint32_t room = BLOCK;
  char *into = c->forget ? scratch : body_room(c->body, *left, &room);
  int64_t count = receive(c, into, room < *left ? room : *left);
  if (count <= 0) return (int)count;
  if (c->framed) c->crc = crc_more(c->crc, (unsigned char *)into, (size_t)count);
  if (c->forget) c->body->size += (uint64_t)count;
  else body_grew(c, (uint32_t)count);
  *left -= (uint64_t)count;
  if (c->framed) c->wire_left -= (uint64_t)count;
  return 1;
}

/* A line of the framing; NULL: not here yet, with *failed set where it never will be. */
static char *take_line(Connection *c, int *failed) {
  char *end = memmem(c->in + c->used, c->have - c->used, "\r\n", 2);
  if (!end) {
    memmove(c->in, c->in + c->used, c->have - c->used);
    c->have -= c->used;
    c->used = 0;
    size_t room = HEAD_MAX - c->have, most = c->wire_left - c->have;
    if (!room || !most) { *failed = 1; return NULL; }
    ssize_t count = recv(c->fd, c->in + c->have, most < room ? most : room, 0);
    if (count == 0 || (count < 0 && errno != EAGAIN)) *failed = 1;
    if (count <= 0) return NULL;
    c->have += (size_t)count;
    end = memmem(c->in, c->have, "\r\n", 2);
    if (!end) return NULL;
  }
  char *line = c->in + c->used;
  *end = 0;
  c->wire_left -= (uint64_t)(end + 2 - line);
  c->used = (size_t)(end + 2 - c->in);
  return line;
}

static void check_trailer(Connection *c, const char *line) {
  static const char *const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (strncasecmp(line, "x-amz-checksum-crc32c:", 22)) return;
  uint32_t crc = ~c->crc;
  unsigned char b[6] = {crc >> 24, crc >> 16, crc >> 8, crc, 0, 0};
  char text[9];
  for (int i = 0; i < 2; i++) {
    uint32_t three = (uint32_t)(b[i * 3] << 16 | b[i * 3 + 1] << 8 | b[i * 3 + 2]);
    for (int j = 0; j < 4; j++) text[i * 4 + j] = digits[three >> (18 - 6 * j) & 63];
  }
  text[6] = text[7] = '=';
  text[8] = 0;
  const char *value = line + 22;
  while (*value == ' ') value++;
  if (strcmp(value, text)) c->bad = 1;
}

static int step(Connection *c) {
  int failed = 0;
  char *line;
  switch (c->state) {
    case HEAD: {
      if (c->used) {
        memmove(c->in, c->in + c->used, c->have - c->used);
        c->have -= c->used;
        c->used = 0;
      }
      int parsed = c->have ? parse(c) : 0;
      if (parsed) return parsed;
      ssize_t count = recv(c->fd, c->in + c->have, HEAD_MAX - 1 - c->have, 0);
      if (count == 0) return -1;
      if (count < 0) return errno == EAGAIN ? 0 : -1;
      c->have += (size_t)count;
      return 1;
    }
    case PLAIN: {
      int moved = take_data(c, &c->wire_left);
      if (moved > 0 && !c->wire_left) act(c);
      return moved;
    }
    case FRAME:
      if (!(line = take_line(c, &failed))) return failed ? -1 : 0;
      c->frame_left = strtoull(line, NULL, 16);
      c->state = c->frame_left ? FRAMED : TRAILER;
      return 1;
    case FRAMED: {
      int moved = take_data(c, &c->frame_left);
      if (moved > 0 && !c->frame_left) c->state = FRAME_END;
      return moved;
    }
    case FRAME_END:
      if (!(line = take_line(c, &failed))) return failed ? -1 : 0;
      c->state = FRAME;
      return 1;
    case TRAILER:
      if (!(line = take_line(c, &failed))) return failed ? -1 : 0;
      if (*line) check_trailer(c, line);
      else act(c);
      return 1;
    default: return 0;
  }
}

static int send_some(Connection *c) {
  struct iovec parts[32];
  int count = 0;
  if (c->out_sent < c->out_length)
    parts[count++] = (struct iovec){c->out + c->out_sent, c->out_length - c->out_sent};
  uint64_t left = c->left, skip = c->skip;
  for (size_t i = c->piece; left && count < 32; i++) {
    Piece *piece = &c->from->pieces[i];
    uint64_t length = piece->length - skip < left ? piece->length - skip : left;
    parts[count++] = (struct iovec){piece->data + skip, length};
    left -= length;
    skip = 0;
  }
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
  ssize_t sent = sendmsg(c->fd, &message, MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN ? 0 : -1;
  size_t head = c->out_length - c->out_sent;
  if ((size_t)sent < head) { c->out_sent += (size_t)sent; return 1; }
  c->out_sent = c->out_length;
  uint64_t body = (uint64_t)sent - head;
  c->left -= body;
  while (body) {
    uint64_t here = c->from->pieces[c->piece].length - c->skip;
    if (body < here) { c->skip += body; break; }
    body -= here;
    c->skip = 0;
    c->piece++;
  }
  if (c->left || c->out_sent < c->out_length) return 1;
  int closing = c->closing;
  reset(c);
  return closing ? -1 : 1;
}

static void serve(Connection *c) {
  int going = 1;
  for (int turns = 0; going > 0 && turns < 64; turns++)
    going = c->state == ANSWER ? send_some(c) : step(c);
  if (going < 0) {
    reset(c);
    close(c->fd);
    free(c);
    return;
  }
  /* More may be done at once, with bytes that wait in our own buffer: epoll knows nothing of them. */
  int wanted = going > 0 ? EPOLLIN | EPOLLOUT : c->state == ANSWER ? EPOLLOUT : EPOLLIN;
  if (wanted == c->watched) return;
  struct epoll_event event = {.events = (uint32_t)wanted, .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
  c->watched = wanted;
}

int main(int argc, char **argv) {
  unsigned seconds = 3600;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "--max-bytes")) bytes_max = strtoull(argv[i + 1], NULL, 10);
    else if (!strcmp(argv[i], "--forget-over")) forget_over = strtoull(argv[i + 1], NULL, 10);
    else if (!strcmp(argv[i], "--seconds")) seconds = (unsigned)atoi(argv[i + 1]);
  }
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  alarm(seconds);
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
    crc_table[i] = crc;
  }
#ifdef __x86_64__
  if (__builtin_cpu_supports("sse4.2")) crc_more = crc_fast;
#endif
  int door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1;
  setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof at;
  if (bind(door, (struct sockaddr *)&at, sizeof at) || listen(door, 1024)) return 1;
  getsockname(door, (struct sockaddr *)&at, &length);
  printf("%d\n", ntohs(at.sin_port));
  fflush(stdout);
  poller = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(poller, EPOLL_CTL_ADD, door, &event);
  for (;;) {
    struct epoll_event ready[64];
    int count = epoll_wait(poller, ready, 64, -1);
    for (int i = 0; i < count; i++) {
      if (ready[i].data.ptr) { serve(ready[i].data.ptr); continue; }
      int fd = accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) continue;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
      Connection *c = calloc(1, sizeof *c);
      c->fd = fd;
      c->crc = ~0u;
      c->watched = EPOLLIN;
      event = (struct epoll_event){.events = EPOLLIN, .data.ptr = c};
      epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
  }
}
