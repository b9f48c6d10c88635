/*
 * The baseline: what one system call per delivery costs when nothing else is done.
 *
 *   send_loop --connections N --frame-bytes B
 *
 * A TCP server on 127.0.0.1 without any protocol. It prints {"listening":PORT}, accepts one control
 * connection and N others from `loadgen sink`, and prints {"ready":N}. Each order, a line "ROUNDS 1"
 * on standard input (the second number is for likeness with loadgen: one round is in flight), sends
 * one prepared frame of B bytes to every connection, ROUNDS times; after each round it waits for the
 * byte on the control connection by which the sink says that everything has arrived. The answer is a
 * line of JSON. To run it alone, each on its own core:
 *
 *   send_loop --connections 1000 --frame-bytes 256       (type "1000 1" when it is ready)
 *   loadgen sink --port PORT --connections 1000 --frame-bytes 256
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONTROL_TIMEOUT_S = 10 };

static int control, connection_count;
static int *connections;
static char *frame;
static size_t frame_bytes;

static void fail(const char *what)
{
    fprintf(stderr, "send_loop: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

static double seconds_of(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int listen_anywhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 ||
        listen(listener, 4096) < 0 || getsockname(listener, (struct sockaddr *)&address, &size) < 0)
        fail("listen");
    printf("{\"listening\":%d}\n", ntohs(address.sin_port));
    return listener;
}

static int accept_one(int listener)
{
    int on = 1, fd = accept(listener, NULL, NULL);

    if (fd < 0)
        fail("accept");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void accept_all(int listener)
{
    struct timeval timeout = {.tv_sec = CONTROL_TIMEOUT_S};

    control = accept_one(listener);
    setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    for (int i = 0; i < connection_count; i++)
        connections[i] = accept_one(listener);
    printf("{\"ready\":%d}\n", connection_count);
}

static void send_round(void)
{
    char arrived;

    for (int i = 0; i < connection_count; i++)
        if (send(connections[i], frame, frame_bytes, MSG_NOSIGNAL) != (ssize_t)frame_bytes)
            fail("send");
    if (recv(control, &arrived, 1, 0) != 1)
        fail("the sink did not report that the round arrived");
}

static void run(long rounds)
{
    double began = seconds_of(CLOCK_MONOTONIC), began_cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    double seconds, cpu, sends = (double)rounds * connection_count;

    for (long round = 0; round < rounds; round++)
        send_round();
    seconds = seconds_of(CLOCK_MONOTONIC) - began;
    cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - began_cpu;
    printf("{\"events\":%ld,\"seconds\":%.6f,\"deliveries\":%.0f,\"deliveries_per_s\":%.0f,"
           "\"cpu_us_per_send\":%.4f}\n",
           rounds, seconds, sends, sends / seconds, cpu * 1e6 / sends);
}

static void read_arguments(int count, char **arguments)
{
    for (int i = 1; i + 1 < count; i += 2) {
        if (!strcmp(arguments[i], "--connections"))
            connection_count = atoi(arguments[i + 1]);
        else if (!strcmp(arguments[i], "--frame-bytes"))
            frame_bytes = (size_t)atoi(arguments[i + 1]);
    }
    if (connection_count < 1 || frame_bytes < 1) {
        fprintf(stderr, "usage: send_loop --connections N --frame-bytes B\n");
        exit(2);
    }
}

int main(int count, char **arguments)
{
    char order[64];

    setvbuf(stdout, NULL, _IOLBF, 0);
    read_arguments(count, arguments);
    connections = calloc((size_t)connection_count, sizeof *connections);
    frame = calloc(1, frame_bytes);
    if (!connections || !frame)
        fail("memory");
    accept_all(listen_anywhere());
    while (fgets(order, sizeof order, stdin)) {
        long rounds = atol(order);
        if (rounds < 1) {
            fprintf(stderr, "send_loop: not a number of rounds: %s", order);
            return 1;
        }
        run(rounds);
    }
    return 0;
}
