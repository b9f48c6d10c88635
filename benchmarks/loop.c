/* The event loop, the orders and the figures of the load generator; see loop.h. */
#include "loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 512,
    AWAKE_US = 20000,
};

int sleeps;
struct figures figures;
static int loop = -1;
static struct connection orders = {.fd = STDIN_FILENO, .kind = "orders"};
static char order_text[256];
static size_t order_size;
static int orders_ended;

void watch(struct connection *connection)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

    if (epoll_ctl(loop, EPOLL_CTL_ADD, connection->fd, &event) < 0)
        fail("cannot watch %s %d: %s%s", connection->kind, connection->number, strerror(errno),
             errno == EPERM ? " (a pipe or a terminal is needed)" : "");
}

/* Waits for something to read, without sleeping until AWAKE_US have passed; see `sleeps`. */
static int wait_for_events(struct epoll_event *events, int timeout_ms)
{
    int ready = epoll_wait(loop, events, EVENTS_MAX, 0);
    double began;

    if (ready)
        return ready;
    began = microseconds();
    while (!ready && !sleeps && microseconds() - began < AWAKE_US)
        ready = epoll_wait(loop, events, EVENTS_MAX, 0);
    if (!ready)
        ready = epoll_wait(loop, events, EVENTS_MAX, timeout_ms);
    figures.idle_us += microseconds() - began;
    return ready;
}

void serve(int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int ready = wait_for_events(events, timeout_ms);

    if (ready == 0)
        fail("nothing arrived for %d ms; %ld events were complete", timeout_ms, figures.done);
    for (int i = 0; i < ready; i++) {
        struct connection *connection = events[i].data.ptr;
        connection->ready(connection);
    }
}

static void read_orders(struct connection *self)
{
    ssize_t got = read(self->fd, order_text + order_size, sizeof order_text - 1 - order_size);

    if (got > 0) {
        order_size += (size_t)got;
        return;
    }
    epoll_ctl(loop, EPOLL_CTL_DEL, self->fd, NULL);
    orders_ended = 1;
}

int next_order(long *events, long *in_flight)
{
    for (;;) {
        char *end = memchr(order_text, '\n', order_size);
        if (end) {
            *end = 0;
            if (sscanf(order_text, "%ld %ld", events, in_flight) != 2 || *events < 1 ||
                *in_flight < 1 || *in_flight > IN_FLIGHT_MAX)
                fail("not an order (EVENTS IN_FLIGHT): %s", order_text);
            order_size -= (size_t)(end + 1 - order_text);
            memmove(order_text, end + 1, order_size);
            return 1;
        }
        if (orders_ended)
            return 0;
        serve(-1);
    }
}

void start_loop(void)
{
    loop = epoll_create1(EPOLL_CLOEXEC);
    orders.ready = read_orders;
    watch(&orders);
}

void begin_figures(long events)
{
    figures.latencies = allocate((size_t)events, sizeof *figures.latencies);
    figures.done = 0;
    figures.idle_us = 0;
    figures.began_us = microseconds();
}

double seconds_taken(void)
{
    double taken = microseconds() - figures.began_us;

    if (taken > ORDER_MAX_US)
        fail("%ld events in %d s", figures.done, ORDER_MAX_US / 1000000);
    return taken / 1e6;
}

void note_latency(double sent_us)
{
    figures.latencies[figures.done++] = microseconds() - sent_us;
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

void print_figures(long events, double seconds)
{
    double busy = 1 - figures.idle_us / (seconds * 1e6);

    qsort(figures.latencies, (size_t)events, sizeof *figures.latencies, ascending);
    printf("{\"events\":%ld,\"seconds\":%.6f,\"busy\":%.3f", events, seconds, busy);
    printf(",\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f", figures.latencies[events / 2],
           figures.latencies[events * 99 / 100], figures.latencies[events - 1]);
    free(figures.latencies);
}
