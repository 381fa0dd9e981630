/* A disk that fails on demand: loaded between a program and its C library (LD_PRELOAD).
 *
 * While the file that FAULTY_DISK names is there, each of its lines is a fault: `CALLS ERRNO PART`. CALLS are letters:
 * w to write, s to sync, c to open for writing or to make, r to rename. A call of such a kind on a path that contains
 * PART fails with ERRNO; with ERRNO 0 it waits until the file is gone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The number of the fault that this call has; 0 for none. */
static int fault(char call, const char *path) {
    const char *order = getenv("FAULTY_DISK");
    if (order == NULL || access(order, F_OK) != 0) return 0;
    for (;;) {
        FILE *file = fopen(order, "re");
        if (file == NULL) return 0;
        char calls[8], part[256];
        int number, found = -1;
        while (fscanf(file, "%7s %d %255s", calls, &number, part) == 3)
            if (strchr(calls, call) != NULL && strstr(path, part) != NULL) found = number;
        fclose(file);
        if (found != 0) return found < 0 ? 0 : found;
        usleep(20000);
    }
}

static int fault_of(char call, int fd) {
    int before = errno, number = 0;
    char link[64], path[4096];
    const char *order = getenv("FAULTY_DISK");
    if (order != NULL && access(order, F_OK) == 0) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (length > 0) {
            path[length] = '\0';
            number = fault(call, path);
        }
    }
    errno = number != 0 ? number : before;
    return number;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    return fault_of('w', fd) ? -1 : REAL(write)(fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    return fault_of('w', fd) ? -1 : REAL(writev)(fd, parts, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return fault_of('w', fd) ? -1 : REAL(pwrite)(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    return fault_of('w', fd) ? -1 : REAL(pwrite64)(fd, bytes, count, at);
}

int fsync(int fd) { return fault_of('s', fd) ? -1 : REAL(fsync)(fd); }

int fdatasync(int fd) { return fault_of('s', fd) ? -1 : REAL(fdatasync)(fd); }

static int refuses(const char *path, int flags) {
    int is_write = (flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0;
    int number = is_write ? fault('c', path) : 0;
    if (number != 0) errno = number;
    return number;
}

#define MODE(flags, mode)                                                                                              \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                             \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode = va_arg(more, mode_t);                                                                                   \
        va_end(more);                                                                                                  \
    }

int open(const char *path, int flags, ...) {
    MODE(flags, mode)
    return refuses(path, flags) ? -1 : REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags, mode)
    return refuses(path, flags) ? -1 : REAL(open64)(path, flags, mode);
}

int rename(const char *from, const char *to) {
    int number = fault('r', to);
    if (number != 0) {
        errno = number;
        return -1;
    }
    return REAL(rename)(from, to);
}
