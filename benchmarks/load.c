/* Load generator: replays prepared requests over keep-alive connections, one thread for each.

       load PORT SOURCE PLAN

   It knows HTTP answers and nothing else: what is sent, in which dialect, stands in PLAN, which
   plan.py writes before the clock starts (digests included). Bodies are parts of SOURCE, a
   file on a tmpfs, and go out with sendfile(2), so that the client costs as little as it can.

   PLAN begins with "connections N\n"; then for each request

       C HEAD OFFSET BODY TAIL CAPTURE\n

   (the number of its connection, bytes of its head, where its body begins in SOURCE, bytes of the
   body and of what follows it, what to keep of the answer: 0 nothing, 1 the path of Location,
   2 the body) and the bytes of head and tail. A byte 1 in a head stands for what was kept last on
   this connection. Requests of one connection are sent in their order, each after the answer to
   the one before.

   Prints one line of JSON. An answer that is not 2xx ends everything with status 1. */
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
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_BYTES = 64 * 1024, KEPT_BYTES = 1024, MARK = 1, PATIENCE_S = 60 };
enum capture { NOTHING, LOCATION, BODY };

struct request {
    size_t head_bytes, body_bytes, tail_bytes;
    off_t offset;
    enum capture capture;
    char *head; /* the tail follows */
    double took_s;
};

struct connection {
    int socket;
    size_t requests, room;
    struct request *request;
    char kept[KEPT_BYTES];
};

static int port, source;
static pthread_barrier_t start;

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void *allocate(void *old, size_t bytes) {
    void *memory = realloc(old, bytes);
    if (!memory) die("no memory");
    return memory;
}

static void read_exactly(FILE *file, void *into, size_t bytes) {
    if (fread(into, 1, bytes, file) != bytes) die("the plan ends early");
}

static struct connection *read_plan(const char *path, int *connections) {
    FILE *file = fopen(path, "rb");
    if (!file || fscanf(file, "connections %d\n", connections) != 1) die("no plan in %s", path);
    struct connection *all = calloc(*connections, sizeof *all);
    if (!all) die("no memory");
    char line[256];
    while (fgets(line, sizeof line, file)) {
        struct request request = {0};
        int number, capture;
        if (sscanf(line, "%d %zu %ld %zu %zu %d", &number, &request.head_bytes, &request.offset,
                   &request.body_bytes, &request.tail_bytes, &capture) != 6 ||
            number < 0 || number >= *connections)
            die("a bad line in the plan: %s", line);
        request.capture = capture;
        request.head = allocate(NULL, request.head_bytes + request.tail_bytes + 1);
        read_exactly(file, request.head, request.head_bytes + request.tail_bytes);
        struct connection *connection = &all[number];
        if (connection->requests == connection->room) {
            connection->room = connection->room ? 2 * connection->room : 64;
            connection->request =
                allocate(connection->request, connection->room * sizeof request);
        }
        connection->request[connection->requests++] = request;
    }
    fclose(file);
    return all;
}

static int open_connection(void) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, opened = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (opened < 0 || connect(opened, (struct sockaddr *)&address, sizeof address))
        die("connect: %s", strerror(errno));
    struct timeval patience = {.tv_sec = PATIENCE_S};
    setsockopt(opened, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(opened, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(opened, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return opened;
}

/* Whether all of it went out; a server that refuses may stop reading, and its answer says why. */
static int send_bytes(int to, const char *bytes, size_t left, int flags) {
    while (left) {
        ssize_t sent = send(to, bytes, left, flags | MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) return 0;
        if (sent > 0) bytes += sent, left -= sent;
    }
    return 1;
}

static int send_body(int to, off_t offset, size_t left) {
    while (left) {
        ssize_t sent = sendfile(to, source, &offset, left);
        if (sent == 0) die("the source is too short");
        if (sent < 0 && errno != EINTR) return 0;
        if (sent > 0) left -= sent;
    }
    return 1;
}

static int send_request(struct connection *connection, struct request *request) {
    size_t more = request->body_bytes + request->tail_bytes;
    const char *head = request->head, *end = head + request->head_bytes;
    const char *mark = memchr(head, MARK, request->head_bytes);
    if (mark) {
        if (!send_bytes(connection->socket, head, mark - head, MSG_MORE) ||
            !send_bytes(connection->socket, connection->kept, strlen(connection->kept), MSG_MORE))
            return 0;
        head = mark + 1;
    }
    return send_bytes(connection->socket, head, end - head, more ? MSG_MORE : 0) &&
           send_body(connection->socket, request->offset, request->body_bytes) &&
           send_bytes(connection->socket, end, request->tail_bytes, 0);
}

static void keep(struct connection *connection, const char *from, size_t bytes) {
    if (bytes >= KEPT_BYTES) die("too long to keep: %.*s", (int)bytes, from);
    memcpy(connection->kept, from, bytes);
    connection->kept[bytes] = 0;
}

static void keep_path(struct connection *connection, const char *value) {
    const char *host = strstr(value, "//");
    const char *path = host && host < strchr(value, '\r') ? strchr(host + 2, '/') : value;
    keep(connection, path, strcspn(path, "\r"));
}

static const char *find_field(const char *head, const char *name) {
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, name, strlen(name)) && line[strlen(name)] == ':') {
            const char *value = line + strlen(name) + 1;
            return value + strspn(value, " ");
        }
    }
    return NULL;
}

/* Whether the connection stays open. */
static int read_answer(struct connection *connection, struct request *request) {
    static _Thread_local char answer[ANSWER_BYTES];
    size_t arrived = 0, wanted = 0, head_bytes = 0;
    const char *length = NULL, *coding = NULL;
    while (!head_bytes || arrived < head_bytes + wanted || coding) {
        if (coding && arrived >= head_bytes + 5 && !memcmp(answer + arrived - 5, "0\r\n\r\n", 5))
            break;
        if (arrived == ANSWER_BYTES - 1) die("a long answer: %.200s", answer);
        ssize_t got = recv(connection->socket, answer + arrived, ANSWER_BYTES - 1 - arrived, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0 && head_bytes && !length && !coding) break; /* its end is the connection's */
        if (got <= 0) die("no answer: %s", got ? strerror(errno) : "closed");
        arrived += got;
        answer[arrived] = 0;
        const char *end = head_bytes ? NULL : strstr(answer, "\r\n\r\n");
        if (end) {
            head_bytes = end + 4 - answer;
            int status = atoi(answer + 9);
            length = find_field(answer, "Content-Length");
            coding = find_field(answer, "Transfer-Encoding");
            if (length) wanted = strtoull(length, NULL, 10);
            else if (!coding && status != 204 && status != 201) wanted = ANSWER_BYTES;
            if (status < 200 || status > 299) die("refused: %s", answer);
        }
    }
    if (request->capture == LOCATION) {
        const char *location = find_field(answer, "Location");
        if (!location) die("no Location: %s", answer);
        keep_path(connection, location);
    }
    if (request->capture == BODY) keep(connection, answer + head_bytes, arrived - head_bytes);
    const char *said = find_field(answer, "Connection");
    return answer[7] == '1' && !(said && !strncasecmp(said, "close", 5));
}

static void *drive(void *argument) {
    struct connection *connection = argument;
    connection->socket = open_connection();
    pthread_barrier_wait(&start); /* all are connected */
    pthread_barrier_wait(&start); /* and the clock runs */
    for (size_t number = 0; number < connection->requests; number++) {
        struct request *request = &connection->request[number];
        double began = now();
        if (connection->socket < 0) connection->socket = open_connection();
        send_request(connection, request);
        int open = read_answer(connection, request);
        request->took_s = now() - began;
        if (!open) {
            close(connection->socket);
            connection->socket = -1;
        }
    }
    return NULL;
}

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double seconds(struct timeval time) { return time.tv_sec + time.tv_usec / 1e6; }

int main(int count, char **argument) {
    if (count != 4) die("load PORT SOURCE PLAN");
    port = atoi(argument[1]);
    source = open(argument[2], O_RDONLY | O_CLOEXEC);
    if (source < 0) die("%s: %s", argument[2], strerror(errno));
    int connections;
    struct connection *all = read_plan(argument[3], &connections);
    pthread_t *threads = allocate(NULL, connections * sizeof *threads);
    pthread_barrier_init(&start, NULL, connections + 1);
    for (int number = 0; number < connections; number++)
        if (pthread_create(&threads[number], NULL, drive, &all[number])) die("no thread");
    pthread_barrier_wait(&start);
    double began = now();
    pthread_barrier_wait(&start);
    for (int number = 0; number < connections; number++) pthread_join(threads[number], NULL);
    double ended = now();

    size_t requests = 0, bytes = 0;
    for (int number = 0; number < connections; number++) requests += all[number].requests;
    double *took_s = allocate(NULL, (requests + 1) * sizeof *took_s);
    requests = 0;
    for (int number = 0; number < connections; number++)
        for (size_t each = 0; each < all[number].requests; each++) {
            took_s[requests++] = all[number].request[each].took_s;
            bytes += all[number].request[each].body_bytes;
        }
    if (!requests) die("the plan is empty");
    qsort(took_s, requests, sizeof *took_s, compare);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"began\": %.6f, \"ended\": %.6f, \"requests\": %zu, \"bytes\": %zu, \"cpu_s\": %.6f, "
           "\"p50_s\": %.6f, \"p99_s\": %.6f}\n",
           began, ended, requests, bytes, seconds(usage.ru_utime) + seconds(usage.ru_stime),
           took_s[requests / 2], took_s[(99 * requests + 99) / 100 - 1]); /* the nearest rank */
    return 0;
}
