/* Opens WebSocket (or raw) connections, drains them, counts what comes on each; told what to do on stdin, answers on stdout.
 *
 * usage: client HOST PORT [--token T] [--path P] [--extensions E] [--raw PREAMBLE] [--match PREFIX] [--nap MICROSECONDS] [--window N]
 *
 *   open N        open N more connections; answered when each has its 101 and its first frame (raw: is connected)
 *   mute 0|1      whether connections that are opened from now on are never read after that
 *   zero          forget what was counted
 *   frames N S    answered when N matching frames have come since `zero`, or after S seconds
 *   bytes N S     the same for bytes
 *   stats S       answered after S seconds
 *   quit
 *
 * `--nap` sleeps between two drains, so that waking us up is not billed to the sender. Frames that carry stamps
 * "@kkkkkkkk:nnnnnnnnnnnnnnnnnnnn" (number, CLOCK_MONOTONIC in ns) give, for each number, the latency to the last follower.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTING, ANSWERING, WAITING, OPEN, CLOSED };
enum { BUFFER = 1 << 18, STAMPS = 1 << 20 };

struct connection {
    int fd, state, mute;
    uint64_t frames;
    uint8_t *kept; /* the beginning of a frame whose end has not come */
    size_t kept_size, kept_room;
};

static struct connection *connections;
static int total, opening, in_flight, closed, epoll_fd, window = 128, mute, nap;
static const char *token, *extensions, *path = "/", *raw, *match = "";
static uint64_t frames, bytes;
static double zeroed, last_arrival;
static struct sockaddr_in address;
static char request[2048];
static int request_size;
static uint64_t stamped[STAMPS], arrived[STAMPS];
static uint8_t buffer[BUFFER];

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static double now(void) { return (double)now_ns() / 1e9; }

static void watch(struct connection *c, uint32_t events, int operation) {
    struct epoll_event e = {.events = events, .data.u32 = (uint32_t)(c - connections)};
    if (epoll_ctl(epoll_fd, operation, c->fd, &e) != 0) { perror("epoll_ctl"); exit(1); }
}

static void start_one(void) {
    struct connection *c = &connections[total++];
    memset(c, 0, sizeof *c);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) { perror("socket"); exit(1); }
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->mute = mute;
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) { perror("connect"); exit(1); }
    watch(c, EPOLLOUT, EPOLL_CTL_ADD);
    opening--;
    in_flight++;
}

static void opened(struct connection *c) {
    c->state = OPEN;
    in_flight--;
    if (c->mute) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
}

static void lost(struct connection *c) {
    if (c->state < OPEN) in_flight--;
    c->state = CLOSED;
    closed++;
    close(c->fd);
}

static void read_stamps(const uint8_t *text, size_t size) {
    const uint8_t *end = text + size, *at = text;
    while ((at = memchr(at, '@', (size_t)(end - at))) != NULL && end - at >= 30) {
        uint64_t number = strtoull((const char *)at + 1, NULL, 10);
        if (at[9] == ':' && number < STAMPS) {
            stamped[number] = strtoull((const char *)at + 10, NULL, 10);
            arrived[number] = now_ns();
        }
        at++;
    }
}

/* Counts the whole frames of some bytes; returns how many bytes they were. */
static size_t count_frames(struct connection *c, const uint8_t *data, size_t size) {
    size_t at = 0, prefix = strlen(match);
    while (size - at >= 2) {
        size_t head = 2, length = data[at + 1] & 0x7f;
        if (length == 126) {
            head = 4;
            if (size - at < head) break;
            length = (size_t)data[at + 2] << 8 | data[at + 3];
        } else if (length == 127) {
            head = 10;
            if (size - at < head) break;
            length = 0;
            for (int i = 2; i < 10; i++) length = length << 8 | data[at + (size_t)i];
        }
        if (size - at < head + length) break;
        const uint8_t *payload = data + at + head;
        if ((data[at] & 0x0f) == 1) {
            if (c->state == WAITING) opened(c);
            if (length >= prefix && memcmp(payload, match, prefix) == 0) {
                frames++;
                c->frames++;
                read_stamps(payload, length < 8192 ? length : 8192);
            }
        } else if ((data[at] & 0x0f) == 9 && length < 100) { /* a ping: an unmasked-by-zero pong */
            uint8_t pong[128] = {0x8a, (uint8_t)(0x80 | length)};
            memcpy(pong + 6, payload, length);
            if (send(c->fd, pong, 6 + length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) { /* gone: its end is read next */ }
        }
        at += head + length;
    }
    return at;
}

static void keep(struct connection *c, const uint8_t *data, size_t size) {
    if (size > c->kept_room) {
        c->kept_room = size < 256 ? 256 : size;
        c->kept = realloc(c->kept, c->kept_room);
    }
    memmove(c->kept, data, size);
    c->kept_size = size;
    if (size == 0 && c->kept_room > 4096) {
        free(c->kept);
        c->kept = NULL;
        c->kept_room = 0;
    }
}

static void drain(struct connection *c) {
    for (;;) {
        size_t old = c->kept_size;
        if (old > BUFFER / 2) { fprintf(stderr, "a frame is too large\n"); exit(1); }
        ssize_t got = recv(c->fd, buffer + old, BUFFER - old, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) { lost(c); return; }
        if (got < 0) return;
        if (old) memcpy(buffer, c->kept, old);
        bytes += (uint64_t)got;
        size_t size = old + (size_t)got, used = 0;
        if (raw == NULL) {
            if (c->state == ANSWERING) {
                uint8_t *end = memmem(buffer, size, "\r\n\r\n", 4);
                if (end != NULL) {
                    if (memcmp(buffer, "HTTP/1.1 101", 12) != 0) { fprintf(stderr, "refused: %.60s\n", buffer); exit(1); }
                    used = (size_t)(end - buffer) + 4;
                    c->state = WAITING;
                }
            }
            if (c->state != ANSWERING) used += count_frames(c, buffer + used, size - used);
            keep(c, buffer + used, size - used);
        }
        last_arrival = now();
        if (c->mute && c->state == OPEN) return;
        if (size < BUFFER) return; /* the rest comes with the next round: nobody is preferred */
    }
}

static void handle(struct connection *c, uint32_t events) {
    if (c->state == CLOSED) return;
    if (c->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) { fprintf(stderr, "connect: %s\n", strerror(error)); exit(1); }
        if (send(c->fd, request, (size_t)request_size, MSG_NOSIGNAL) != request_size) { perror("send"); exit(1); }
        c->state = ANSWERING;
        watch(c, EPOLLIN, EPOLL_CTL_MOD);
        if (raw != NULL) opened(c);
    } else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        drain(c);
    }
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void answer(void) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < total; i++)
        if (!connections[i].mute && connections[i].frames < least) least = connections[i].frames;
    static double latency[STAMPS];
    int n = 0;
    for (int i = 0; i < STAMPS; i++)
        if (arrived[i]) latency[n++] = (double)(arrived[i] - stamped[i]) / 1e6;
    qsort(latency, (size_t)n, sizeof *latency, by_value);
    printf("{\"connections\": %d, \"closed\": %d, \"frames\": %llu, \"bytes\": %llu, \"least\": %llu, \"seconds\": %.6f, \"stamps\": %d",
           total - closed, closed, (unsigned long long)frames, (unsigned long long)bytes, (unsigned long long)(total ? least : 0),
           last_arrival > zeroed ? last_arrival - zeroed : now() - zeroed, n);
    if (n) printf(", \"p50\": %.4f, \"p99\": %.4f, \"max\": %.4f", latency[n / 2], latency[(int)(n * 0.99)], latency[n - 1]);
    printf("}\n");
    fflush(stdout);
}

static void zero(void) {
    frames = bytes = 0;
    for (int i = 0; i < total; i++) connections[i].frames = 0;
    memset(arrived, 0, sizeof arrived);
    zeroed = now();
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    for (int i = 3; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--token")) token = argv[i + 1];
        else if (!strcmp(argv[i], "--path")) path = argv[i + 1];
        else if (!strcmp(argv[i], "--extensions")) extensions = argv[i + 1];
        else if (!strcmp(argv[i], "--raw")) raw = argv[i + 1];
        else if (!strcmp(argv[i], "--match")) match = argv[i + 1];
        else if (!strcmp(argv[i], "--nap")) nap = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--window")) window = atoi(argv[i + 1]);
        else return 2;
    }
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)atoi(argv[2]));
    inet_pton(AF_INET, argv[1], &address.sin_addr);
    if (raw != NULL)
        request_size = snprintf(request, sizeof request, "%s", raw);
    else
        request_size = snprintf(request, sizeof request,
            "GET %s HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s%s%s%s%s%s\r\n",
            path, argv[1], argv[2], token ? "Authorization: Bearer " : "", token ? token : "", token ? "\r\n" : "",
            extensions ? "Sec-WebSocket-Extensions: " : "", extensions ? extensions : "", extensions ? "\r\n" : "");
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    connections = calloc(files.rlim_max < 65536 ? files.rlim_max : 65536, sizeof *connections);
    epoll_fd = epoll_create1(0);
    struct epoll_event input = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &input);
    fcntl(0, F_SETFL, O_NONBLOCK);
    uint64_t want_frames = 0, want_bytes = 0;
    double deadline = 0, open_began = 0;
    int waiting = 0; /* for: 1 open, 2 frames, 3 bytes, 4 time */
    struct epoll_event events[1024];
    char line[256];
    for (;;) {
        while (opening > 0 && in_flight < window) start_one();
        if (waiting == 1 && opening == 0 && in_flight == 0) {
            printf("{\"connections\": %d, \"closed\": %d, \"seconds\": %.6f}\n", total - closed, closed, now() - open_began);
            fflush(stdout);
            waiting = 0;
        }
        if ((waiting == 2 && frames >= want_frames) || (waiting == 3 && bytes >= want_bytes) || (waiting > 1 && now() >= deadline)) {
            answer();
            waiting = 0;
        }
        int count = epoll_wait(epoll_fd, events, 1024, waiting > 1 ? 20 : -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.u32 != UINT32_MAX) { handle(&connections[events[i].data.u32], events[i].events); continue; }
            ssize_t got = read(0, line, sizeof line - 1);
            if (got <= 0) return 0;
            line[got] = 0;
            double seconds = 0;
            unsigned long long number = 0;
            if (sscanf(line, "open %d", &opening) == 1) { waiting = 1; open_began = now(); }
            else if (sscanf(line, "mute %d", &mute) == 1) { printf("{}\n"); fflush(stdout); }
            else if (!strncmp(line, "zero", 4)) { zero(); printf("{}\n"); fflush(stdout); }
            else if (sscanf(line, "frames %llu %lf", &number, &seconds) == 2) { want_frames = number; deadline = now() + seconds; waiting = 2; }
            else if (sscanf(line, "bytes %llu %lf", &number, &seconds) == 2) { want_bytes = number; deadline = now() + seconds; waiting = 3; }
            else if (sscanf(line, "stats %lf", &seconds) == 1) { deadline = now() + seconds; waiting = 4; }
            else return 0;
        }
        if (nap && count > 0) usleep((useconds_t)nap);
    }
}
