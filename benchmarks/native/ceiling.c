/* The ceiling: a server that does nothing but send() frames that are ready to every connection.
 *
 *   emit TICKS BATCH    for each tick, one send() per connection, of BATCH frames
 *   pipe FILE           read the output of `cat FILE` from a pipe, and send each piece to every connection
 *
 * Prints the port first, then "done" after each command.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int sockets[65536], count;
static const char *ACCEPT =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
static const char *BODY =
    "{\"type\":\"agent_stdout\",\"id\":\"p1\",\"sessionId\":\"remote_20260101000000_abcdef01\",\"chunk\":\"hello hello hello\",\"seq\":1000}";

static void send_all(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            poll(&p, 1, 1000);
            continue;
        }
        if (sent < 0) return;
        data += sent;
        size -= (size_t)sent;
    }
}

static void welcome(int listening) {
    int fd;
    while ((fd = accept(listening, NULL, NULL)) >= 0) {
        char request[4096];
        size_t size = 0;
        while (size < 4 || memcmp(request + size - 4, "\r\n\r\n", 4) != 0) {
            ssize_t got = recv(fd, request + size, sizeof request - size, 0);
            if (got <= 0) break;
            size += (size_t)got;
        }
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        int room = 128 * 1024; /* the same as the product has */
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        send_all(fd, ACCEPT, strlen(ACCEPT));
        send_all(fd, "\x81\x10{\"type\":\"ready\"}", 18);
        sockets[count++] = fd;
    }
}

int main(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    bind(listening, (struct sockaddr *)&address, sizeof address);
    listen(listening, 1024);
    getsockname(listening, (struct sockaddr *)&address, &length);
    printf("{\"port\": %d}\n", ntohs(address.sin_port));
    fflush(stdout);
    size_t body = strlen(BODY), frame = body + 2;
    static char frames[1 << 16], piece[1 << 16];
    for (struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.fd = listening, .events = POLLIN}}; poll(p, 2, -1) > 0;) {
        if (p[1].revents) welcome(listening);
        if (!p[0].revents) continue;
        char line[4096];
        ssize_t got = read(0, line, sizeof line - 1);
        if (got <= 0) return 0;
        line[got] = 0;
        int ticks, batch;
        char file[2048];
        if (sscanf(line, "emit %d %d", &ticks, &batch) == 2) {
            for (int i = 0; i < batch; i++) {
                frames[(size_t)i * frame] = (char)0x81;
                frames[(size_t)i * frame + 1] = (char)body;
                memcpy(frames + (size_t)i * frame + 2, BODY, body);
            }
            for (int tick = 0; tick < ticks; tick++)
                for (int i = 0; i < count; i++) send_all(sockets[i], frames, frame * (size_t)batch);
        } else if (sscanf(line, "pipe %2000s", file) == 1) {
            int ends[2];
            if (pipe(ends) != 0) return 1;
            pid_t child = fork();
            if (child == 0) {
                dup2(ends[1], 1);
                close(ends[0]);
                execlp("cat", "cat", file, (char *)NULL);
                _exit(127);
            }
            close(ends[1]);
            ssize_t size;
            while ((size = read(ends[0], piece, sizeof piece)) > 0)
                for (int i = 0; i < count; i++) send_all(sockets[i], piece, (size_t)size);
            close(ends[0]);
            waitpid(child, NULL, 0);
        } else {
            return 0;
        }
        printf("done\n");
        fflush(stdout);
    }
    return 0;
}
