/* A PKCS#11 module that stands before the real one, counts calls and misbehaves when told to.
 *
 * SHIM_MODULE   path of the real module
 * SHIM_COUNTS   file that is mapped: a u64 for each function, in the order of CK_FUNCTION_LIST
 * SHIM_ORDERS   file read before each call: lines "<function> <order> [number]"
 *                 delay <ms>   sleep, then call
 *                 hang         never return
 *                 spin         never return and burn the processor
 *                 fail <ckr>   answer this code instead of calling
 *                 abort        end the process
 *               and "<function> <order> <number> once", which is obeyed by one call of all;
 *               "<function> <order> <number> always <label>", which is obeyed for the keys whose
 *               CKA_LABEL this is: for C_SignInit, C_EncryptInit, C_DecryptInit and C_UnwrapKey.
 * SHIM_MESSAGES file to which every message given to C_Sign is appended, its length (u32) first
 *
 * The declarations are our own: the few of PKCS#11 2.40 that are needed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long CK_RV;
typedef unsigned long U;
typedef void *P;
typedef unsigned char B;
#define COUNT 68

struct list {
    unsigned char version[2];
    CK_RV (*call[COUNT])();
};

static struct list *real;
static struct list ours;
static uint64_t *counts;
static char orders_path[4096];
static int messages = -1;

static const char *NAMES[COUNT] = {
    "C_Initialize", "C_Finalize", "C_GetInfo", "C_GetFunctionList", "C_GetSlotList",
    "C_GetSlotInfo", "C_GetTokenInfo", "C_GetMechanismList", "C_GetMechanismInfo", "C_InitToken",
    "C_InitPIN", "C_SetPIN", "C_OpenSession", "C_CloseSession", "C_CloseAllSessions",
    "C_GetSessionInfo", "C_GetOperationState", "C_SetOperationState", "C_Login", "C_Logout",
    "C_CreateObject", "C_CopyObject", "C_DestroyObject", "C_GetObjectSize", "C_GetAttributeValue",
    "C_SetAttributeValue", "C_FindObjectsInit", "C_FindObjects", "C_FindObjectsFinal",
    "C_EncryptInit", "C_Encrypt", "C_EncryptUpdate", "C_EncryptFinal", "C_DecryptInit",
    "C_Decrypt", "C_DecryptUpdate", "C_DecryptFinal", "C_DigestInit", "C_Digest",
    "C_DigestUpdate", "C_DigestKey", "C_DigestFinal", "C_SignInit", "C_Sign", "C_SignUpdate",
    "C_SignFinal", "C_SignRecoverInit", "C_SignRecover", "C_VerifyInit", "C_Verify",
    "C_VerifyUpdate", "C_VerifyFinal", "C_VerifyRecoverInit", "C_VerifyRecover",
    "C_DigestEncryptUpdate", "C_DecryptDigestUpdate", "C_SignEncryptUpdate",
    "C_DecryptVerifyUpdate", "C_GenerateKey", "C_GenerateKeyPair", "C_WrapKey", "C_UnwrapKey",
    "C_DeriveKey", "C_SeedRandom", "C_GenerateRandom", "C_GetFunctionStatus", "C_CancelFunction",
    "C_WaitForSlotEvent",
};

static void nap(long ms) {
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

/* Whether this call is the first, in any process, to take a "once" order: the file it makes says so. */
static int take_once(void) {
    char path[4200];
    snprintf(path, sizeof path, "%s.taken", orders_path);
    int made = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    if (made < 0) return 0;
    close(made);
    return 1;
}

/* Whether this call begins to use the key of this label. */
static int is_for(const char *label, int place, U session, U key) {
    struct { U type; P value; U size; } attribute;
    char found[256];
    if (strcmp(NAMES[place], "C_SignInit") && strcmp(NAMES[place], "C_EncryptInit") &&
        strcmp(NAMES[place], "C_DecryptInit") && strcmp(NAMES[place], "C_UnwrapKey")) return 0;
    attribute.type = 3; /* CKA_LABEL */
    attribute.value = found;
    attribute.size = sizeof found - 1;
    if (real->call[24](session, key, &attribute, (U)1)) return 0;
    found[attribute.size] = 0;
    return !strcmp(found, label);
}

/* Keep what is signed: one write, so that threads and processes do not mix theirs. */
static void keep(const B *data, U size) {
    B line[1024];
    uint32_t length = (uint32_t)size;
    if (size > sizeof line - 4) return;
    memcpy(line, &length, 4);
    memcpy(line + 4, data, size);
    if (write(messages, line, 4 + size) < 0) return;
}

/* Count the call and obey; return 0 to go on, else the code to answer. */
static CK_RV before(int place, U a, U b, U c) {
    if (messages >= 0 && !strcmp(NAMES[place], "C_Sign")) keep((const B *)b, c);
    if (counts) __atomic_add_fetch(&counts[place], 1, __ATOMIC_SEQ_CST);
    FILE *file = fopen(orders_path, "r");
    if (!file) return 0;
    char name[64], order[16], once[8], label[65];
    char line[128];
    CK_RV answer = 0;
    while (fgets(line, sizeof line, file)) {
        unsigned long number = 0;
        once[0] = label[0] = 0;
        if (sscanf(line, "%63s %15s %lu %7s %64s", name, order, &number, once, label) < 2) continue;
        if (strcmp(name, NAMES[place])) continue;
        if (label[0] && !is_for(label, place, a, c)) continue;
        if (!strcmp(once, "once") && !take_once()) continue;
        if (!strcmp(order, "delay")) nap((long)number);
        else if (!strcmp(order, "hang")) for (;;) pause();
        else if (!strcmp(order, "spin")) for (volatile int on = 1; on;) {}
        else if (!strcmp(order, "abort")) abort();
        else if (!strcmp(order, "fail")) answer = number;
    }
    fclose(file);
    return answer;
}

/* All arguments of PKCS#11 are words; the widest function we pass on has eight.  On the platforms of
 * these tests a caller may hand over more words than the callee reads. */
#define PASS(place)                                                                              \
    static CK_RV f##place(U a, U b, U c, U d, U e, U f, U g, U h) {                              \
        CK_RV rv = before(place, a, b, c);                                                       \
        return rv ? rv : real->call[place](a, b, c, d, e, f, g, h);                              \
    }
PASS(0) PASS(1) PASS(2) PASS(4) PASS(5) PASS(6) PASS(7) PASS(8) PASS(9) PASS(10) PASS(11) PASS(12)
PASS(13) PASS(14) PASS(15) PASS(16) PASS(17) PASS(18) PASS(19) PASS(20) PASS(21) PASS(22) PASS(23)
PASS(24) PASS(25) PASS(26) PASS(27) PASS(28) PASS(29) PASS(30) PASS(31) PASS(32) PASS(33) PASS(34)
PASS(35) PASS(36) PASS(37) PASS(38) PASS(39) PASS(40) PASS(41) PASS(42) PASS(43) PASS(44) PASS(45)
PASS(46) PASS(47) PASS(48) PASS(49) PASS(50) PASS(51) PASS(52) PASS(53) PASS(54) PASS(55) PASS(56)
PASS(57) PASS(58) PASS(59) PASS(60) PASS(61) PASS(62) PASS(63) PASS(64) PASS(65) PASS(66) PASS(67)

static void load(void) {
    const char *path = getenv("SHIM_MODULE"), *counted = getenv("SHIM_COUNTS");
    const char *orders = getenv("SHIM_ORDERS");
    if (orders) snprintf(orders_path, sizeof orders_path, "%s", orders);
    if (counted) {
        int file = open(counted, O_RDWR | O_CREAT, 0600);
        if (file >= 0 && !ftruncate(file, COUNT * 8)) {
            P room = mmap(NULL, COUNT * 8, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
            if (room != MAP_FAILED) counts = room;
        }
    }
    const char *kept = getenv("SHIM_MESSAGES");
    if (kept) messages = open(kept, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    P library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    CK_RV (*list)(struct list **) = library ? dlsym(library, "C_GetFunctionList") : NULL;
    if (!list || list(&real)) real = NULL;
}

CK_RV C_GetFunctionList(struct list **answer) {
    if (!real) load();
    if (!real) return 0x5; /* CKR_GENERAL_ERROR */
    memcpy(ours.version, real->version, 2);
    CK_RV (*mine[COUNT])() = {
        f0, f1, f2, (CK_RV(*)())C_GetFunctionList, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14,
        f15, f16, f17, f18, f19, f20, f21, f22, f23, f24, f25, f26, f27, f28, f29, f30, f31, f32,
        f33, f34, f35, f36, f37, f38, f39, f40, f41, f42, f43, f44, f45, f46, f47, f48, f49, f50,
        f51, f52, f53, f54, f55, f56, f57, f58, f59, f60, f61, f62, f63, f64, f65, f66, f67,
    };
    memcpy(ours.call, mine, sizeof mine);
    *answer = &ours;
    return 0;
}
