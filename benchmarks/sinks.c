/* The limits: the least that a server can do with the bytes it is sent, a thread a connection.

       sinks PORT FOLDER splice|recv|drop [sync|log]

   Answers each PUT with 204. `splice` and `recv` (into 1 MiB, then pwrite) store its body in
   FOLDER under the last segment of its path, from the first byte of its Content-Range on; `sync`
   waits for the disk before each answer, and `log` for two notes of 4 KiB in a file beside FOLDER too,
   one before and one after, as whoever keeps a record of what is stored does. `drop` lets the kernel throw the bytes away: what the
   load generator could do at most. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_BYTES = 16 * 1024, BLOCK_BYTES = 1024 * 1024, NOTE_BYTES = 4096 };
static const char ANSWER[] = "HTTP/1.1 204 No Content\r\n\r\n";

static const char *how;
static int folder, sync_each, notes = -1;

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, ": %s\n", strerror(errno));
    exit(1);
}

static void write_fully(int file, const char *bytes, size_t left, off_t at) {
    while (left) {
        ssize_t written = pwrite(file, bytes, left, at);
        if (written < 0) die("pwrite");
        bytes += written, left -= written, at += written;
    }
}

static void note_down(const char *note) {
    if (notes >= 0 && (write(notes, note, NOTE_BYTES) != NOTE_BYTES || fdatasync(notes)))
        die("notes");
}

/* Each takes at most `left` bytes of the body and returns how many; 0 when the client is gone. */

static size_t take_by_recv(int from, int file, off_t at, size_t left, char *block) {
    ssize_t got = recv(from, block, left < BLOCK_BYTES ? left : BLOCK_BYTES, 0);
    if (got <= 0) return 0;
    write_fully(file, block, got, at);
    return got;
}

static size_t take_by_splice(int from, int file, off_t at, size_t left, const int *channel) {
    ssize_t got = splice(from, NULL, channel[1], NULL, left < BLOCK_BYTES ? left : BLOCK_BYTES,
                         SPLICE_F_MOVE | SPLICE_F_MORE);
    if (got <= 0) return 0;
    for (ssize_t rest = got; rest;) {
        ssize_t stored = splice(channel[0], NULL, file, &at, rest, SPLICE_F_MOVE);
        if (stored <= 0) die("splice");
        rest -= stored;
    }
    return got;
}

static size_t take_by_dropping(int from, size_t left) {
    ssize_t got = recv(from, NULL, left < 4 * BLOCK_BYTES ? left : 4 * BLOCK_BYTES, MSG_TRUNC);
    return got <= 0 ? 0 : got;
}

static long number_after(const char *head, const char *name) {
    const char *found = strcasestr(head, name);
    return found ? atol(found + strlen(name)) : 0;
}

static int open_file(char *head) {
    char *end = strpbrk(head + strlen("PUT "), " \r");
    if (!end) return -1;
    *end = 0;
    int file = openat(folder, strrchr(head, '/') + 1, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) die("open %s", head);
    *end = ' ';
    return file;
}

static int serve_request(int from, char *block, const int *channel) {
    char head[HEAD_BYTES + 1];
    size_t arrived = 0;
    char *end = NULL;
    while (!end) {
        ssize_t got = recv(from, head + arrived, HEAD_BYTES - arrived, 0);
        if (got <= 0) return 0;
        arrived += got;
        head[arrived] = 0;
        end = strstr(head, "\r\n\r\n");
    }
    end += 4;
    end[-1] = 0; /* the body may hold anything */
    size_t left = number_after(head, "\r\nContent-Length: ");
    off_t at = number_after(head, "\r\nContent-Range: bytes ");
    int drop = !strcmp(how, "drop"), file = drop ? -1 : open_file(head);
    size_t here = head + arrived - end;
    if (!drop) write_fully(file, end, here, at);
    for (left -= here, at += here; left;) {
        size_t got = drop                      ? take_by_dropping(from, left)
                     : !strcmp(how, "splice") ? take_by_splice(from, file, at, left, channel)
                                               : take_by_recv(from, file, at, left, block);
        if (!got) return 0;
        left -= got, at += got;
    }
    note_down(block);
    if (file >= 0 && sync_each && fdatasync(file)) die("fdatasync");
    if (file >= 0) close(file);
    note_down(block);
    return send(from, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) > 0;
}

static void *serve(void *argument) {
    int from = (int)(long)argument, channel[2];
    char *block = malloc(BLOCK_BYTES);
    if (!block || pipe2(channel, O_CLOEXEC)) die("no memory");
    fcntl(channel[1], F_SETPIPE_SZ, BLOCK_BYTES);
    while (serve_request(from, block, channel)) continue;
    close(channel[0]), close(channel[1]), close(from);
    free(block);
    return NULL;
}

int main(int count, char **argument) {
    if (count < 4) {
        fprintf(stderr, "sinks PORT FOLDER splice|recv|drop [sync|log]\n");
        return 1;
    }
    how = argument[3];
    sync_each = count > 4;
    folder = open(argument[2], O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    if (count > 4 && !strcmp(argument[4], "log"))
        notes = openat(folder, "../notes", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(atoi(argument[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (folder < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) ||
        listen(listener, 512))
        die("cannot serve");
    for (;;) {
        int from = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (from < 0) die("accept");
        setsockopt(from, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, (void *)(long)from)) die("no thread");
        pthread_detach(thread);
    }
}
