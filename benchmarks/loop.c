/* The event loop, the orders and the figures of the load generator; see loop.h. */
#define _GNU_SOURCE
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
    AWAKE_FOR_A_MOMENT_US = 200, /* longer than the pause between two deliveries of one event */
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

void watch_its_end(struct connection *connection)
{
    struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = connection};

    if (epoll_ctl(loop, EPOLL_CTL_MOD, connection->fd, &event) < 0)
        fail("cannot watch %s %d: %s", connection->kind, connection->number, strerror(errno));
}

static int sleep_for_events(struct epoll_event *events, double for_us)
{
    long ns = for_us > 0 ? (long)(for_us * 1e3) : 0;
    struct timespec time = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

    return epoll_pwait2(loop, events, EVENTS_MAX, for_us < 0 ? NULL : &time, NULL);
}

/*
 * Waits for something to read, without sleeping for a while (see `sleeps`), and no longer than until
 * then; a negative time stands for any.
 */
static int wait_for_events(struct epoll_event *events, double until_us)
{
    int ready = epoll_wait(loop, events, EVENTS_MAX, 0);
    double awake_us = sleeps ? AWAKE_FOR_A_MOMENT_US : AWAKE_US;
    double began, now, left;

    if (ready)
        return ready;
    began = now = microseconds();
    while (!ready && now - began < awake_us && (until_us < 0 || now < until_us)) {
        ready = epoll_wait(loop, events, EVENTS_MAX, 0);
        now = microseconds();
    }
    left = until_us < 0 ? -1 : until_us > now ? until_us - now : 0;
    if (!ready && left != 0)
        ready = sleep_for_events(events, left);
    figures.idle_us += microseconds() - began;
    return ready;
}

static int serve_some(double until_us)
{
    struct epoll_event events[EVENTS_MAX];
    int ready = wait_for_events(events, until_us);

    for (int i = 0; i < ready; i++) {
        struct connection *connection = events[i].data.ptr;
        connection->ready(connection);
    }
    return ready;
}

void serve(int timeout_ms)
{
    double until_us = timeout_ms < 0 ? -1 : microseconds() + timeout_ms * 1e3;

    if (!serve_some(until_us) && timeout_ms >= 0)
        fail("nothing arrived for %d ms; %ld events were complete", timeout_ms, figures.done);
}

void serve_until(double until_us)
{
    serve_some(until_us);
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

static void read_order(const char *line, struct order *order)
{
    *order = (struct order){.depth = 1};
    if (sscanf(line, "%ld %ld %ld %ld", &order->events, &order->in_flight, &order->per_second,
               &order->depth) < 2 ||
        order->events < 0 || order->in_flight < 1 || order->in_flight > IN_FLIGHT_MAX ||
        order->per_second < 0 || order->depth < 1)
        fail("not an order (EVENTS IN_FLIGHT [PER_SECOND [DEPTH]]): %s", line);
}

int next_order(struct order *order)
{
    for (;;) {
        char *end = memchr(order_text, '\n', order_size);
        if (end) {
            *end = 0;
            read_order(order_text, order);
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

void print_figures(long events, double seconds, int all)
{
    double busy = 1 - figures.idle_us / (seconds * 1e6);

    qsort(figures.latencies, (size_t)events, sizeof *figures.latencies, ascending);
    printf("{\"events\":%ld,\"seconds\":%.6f,\"busy\":%.3f", events, seconds, busy);
    printf(",\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f", figures.latencies[events / 2],
           figures.latencies[events * 99 / 100], figures.latencies[events - 1]);
    for (long i = 0; all && i < events; i++)
        printf("%s%.1f", i ? "," : ",\"latencies_us\":[", figures.latencies[i]);
    printf("%s", all ? "]" : "");
    free(figures.latencies);
}
