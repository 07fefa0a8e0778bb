/* Makes one system call of a process fail, return early, or be the last one: preloaded with LD_PRELOAD.

   Only calls about files below one folder count, and only after `faults_arm`. The state is shared with child processes,
   so that a parent can ask how many calls its child made and whether the fault happened. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { READ = 1, WRITE = 2, LOOK = 4, DATA = 8, SLOW = 16 };
enum { KILL = 1, SHORTEN = 2, FAIL = 3 };

struct fault {
    int action, code, calls;
    long first, last;
    char folder[PATH_MAX];
};
static struct fault fault;
static atomic_int armed;
static struct { atomic_long made, done; char call[64]; } *shared;

__attribute__((constructor)) static void share(void) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

void faults_arm(const char *folder, int action, int code, int calls, long first, long last) {
    fault = (struct fault){action, code, calls, first, last, ""};
    strncpy(fault.folder, folder, PATH_MAX - 1);
    atomic_store(&shared->made, 0);
    atomic_store(&shared->done, 0);
    atomic_store(&armed, 1);
}

long faults_made(void) { return atomic_load(&shared->made); }
long faults_done(void) { return atomic_load(&shared->done); }
const char *faults_call(void) { return shared->call; }

static int is_below(const char *path) { return !strncmp(path, fault.folder, strlen(fault.folder)); }

static int is_link_below(const char *link) {
    char path[PATH_MAX];
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int is_open_below(int fd) {
    char link[64];
    if (fd == AT_FDCWD) return is_link_below("/proc/self/cwd");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return is_link_below(link);
}

static int is_named_below(int folder, const char *path) {
    if (!path || !*path) return is_open_below(folder);
    if (!strncmp(path, "/proc/self/fd/", 14)) return is_link_below(path);
    return *path == '/' ? is_below(path) : is_open_below(folder);
}

/* 0 to make the call, SHORTEN to make it with fewer bytes, FAIL to fail with fault.code. */
static int meet(const char *call, int calls, int concerned) {
    if (!concerned) return 0;
    long number = atomic_fetch_add(&shared->made, 1);
    if (number < fault.first || number > fault.last) return 0;
    atomic_fetch_add(&shared->done, 1);
    strncpy(shared->call, call, sizeof shared->call - 1);
    if (fault.action == KILL) kill(getpid(), SIGKILL);
    return fault.action;
}

/* Whole blocks, as disks write them, where there is more than one. */
static size_t shorten(size_t count) { return count >= 8192 ? count / 2 / 4096 * 4096 : (count + 1) / 2; }

#define ACTIVE(kind) (atomic_load(&armed) && (fault.calls & (kind)))
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define CHECK(name, kind, concerned)                                          \
    int met = ACTIVE(kind) ? meet(#name, kind, concerned) : 0;                \
    if (met == FAIL) { errno = fault.code; return -1; }

/* Calls without a count of bytes; those with one, which can be shortened; and those that open a file. */
#define PLAIN(type, name, kind, parameters, arguments, concerned)             \
    type name parameters { CHECK(name, kind, concerned) return NEXT(name) arguments; }
#define COUNTED(name, kind, parameters, arguments, concerned, count)          \
    ssize_t name parameters {                                                 \
        CHECK(name, (kind) | DATA | SLOW, concerned)                          \
        if (met == SHORTEN) count = shorten(count);                           \
        return NEXT(name) arguments;                                          \
    }
#define MODE mode_t mode = 0; if (flags & (O_CREAT | __O_TMPFILE)) {          \
        va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }
#define WRITES(flags) ((flags) & (O_CREAT | O_TRUNC) ? WRITE | SLOW : READ | SLOW)

#define OPEN(name) int name(const char *path, int flags, ...) {               \
        MODE CHECK(name, WRITES(flags), is_named_below(AT_FDCWD, path)) return NEXT(name)(path, flags, mode); }
#define OPENAT(name) int name(int folder, const char *path, int flags, ...) { \
        MODE CHECK(name, WRITES(flags), is_named_below(folder, path)) return NEXT(name)(folder, path, flags, mode); }
OPEN(open64)
OPENAT(openat64)

COUNTED(read, READ, (int fd, void *data, size_t count), (fd, data, count), is_open_below(fd), count)
COUNTED(pread64, READ, (int fd, void *data, size_t count, off64_t at), (fd, data, count, at), is_open_below(fd), count)
COUNTED(write, WRITE, (int fd, const void *data, size_t count), (fd, data, count), is_open_below(fd), count)
COUNTED(pwrite64, WRITE, (int fd, const void *data, size_t count, off64_t at), (fd, data, count, at),
        is_open_below(fd), count)
COUNTED(copy_file_range, WRITE,
        (int from, off64_t *at, int to, off64_t *to_at, size_t count, unsigned flags),
        (from, at, to, to_at, count, flags), is_open_below(to), count)
COUNTED(sendfile64, WRITE, (int to, int from, off64_t *at, size_t count), (to, from, at, count), is_open_below(to), count)

ssize_t preadv64v2(int fd, const struct iovec *parts, int count, off64_t at, int flags) {
    CHECK(preadv64v2, READ | DATA | SLOW, is_open_below(fd))
    if (met == SHORTEN && count == 1) {
        struct iovec fewer = {parts[0].iov_base, shorten(parts[0].iov_len)};
        return NEXT(preadv64v2)(fd, &fewer, 1, at, flags);
    }
    return NEXT(preadv64v2)(fd, parts, count, at, flags);
}

int posix_fallocate64(int fd, off64_t at, off64_t count) {
    int met = ACTIVE(WRITE | SLOW) ? meet("posix_fallocate", WRITE | SLOW, is_open_below(fd)) : 0;
    return met == FAIL ? fault.code : NEXT(posix_fallocate64)(fd, at, count);
}

int close(int fd) { /* a failed close has closed the file */
    int met = ACTIVE(WRITE) ? meet("close", WRITE, is_open_below(fd)) : 0;
    int result = NEXT(close)(fd);
    if (met == FAIL) { errno = fault.code; return -1; }
    return result;
}

PLAIN(int, fsync, WRITE | SLOW, (int fd), (fd), is_open_below(fd))
PLAIN(int, fdatasync, WRITE | SLOW, (int fd), (fd), is_open_below(fd))
PLAIN(int, ftruncate64, WRITE | SLOW, (int fd, off64_t size), (fd, size), is_open_below(fd))
PLAIN(int, flock, SLOW, (int fd, int how), (fd, how), is_open_below(fd))
PLAIN(int, fchmod, WRITE, (int fd, mode_t mode), (fd, mode), is_open_below(fd))
PLAIN(int, rename, WRITE, (const char *old, const char *new), (old, new), is_named_below(AT_FDCWD, new))
PLAIN(int, renameat2, WRITE, (int from, const char *old, int to, const char *new, unsigned flags),
      (from, old, to, new, flags), is_named_below(to, new))
PLAIN(int, link, WRITE, (const char *old, const char *new), (old, new), is_named_below(AT_FDCWD, new))
PLAIN(int, symlink, WRITE, (const char *old, const char *new), (old, new), is_named_below(AT_FDCWD, new))
PLAIN(int, mkdir, WRITE, (const char *path, mode_t mode), (path, mode), is_named_below(AT_FDCWD, path))
PLAIN(int, unlink, WRITE, (const char *path), (path), is_named_below(AT_FDCWD, path))
PLAIN(int, unlinkat, WRITE, (int folder, const char *path, int flags), (folder, path, flags),
      is_named_below(folder, path))
PLAIN(int, rmdir, WRITE, (const char *path), (path), is_named_below(AT_FDCWD, path))
PLAIN(int, fstat64, LOOK, (int fd, struct stat64 *status), (fd, status), is_open_below(fd))
PLAIN(int, stat64, LOOK, (const char *path, struct stat64 *status), (path, status), is_named_below(AT_FDCWD, path))
PLAIN(int, lstat64, LOOK, (const char *path, struct stat64 *status), (path, status), is_named_below(AT_FDCWD, path))
PLAIN(int, fstatat64, LOOK, (int folder, const char *path, struct stat64 *status, int flags),
      (folder, path, status, flags), is_named_below(folder, path))
PLAIN(off64_t, lseek64, LOOK, (int fd, off64_t at, int whence), (fd, at, whence), is_open_below(fd))

DIR *opendir(const char *path) {
    int met = ACTIVE(LOOK) ? meet("opendir", LOOK, is_named_below(AT_FDCWD, path)) : 0;
    if (met == FAIL) { errno = fault.code; return NULL; }
    return NEXT(opendir)(path);
}
