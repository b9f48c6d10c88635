/*
 * The rhythm of the load generator: one event loop for all sockets and for the orders that arrive on
 * standard input, and the figures that answer an order.
 */
#ifndef LOOP_H
#define LOOP_H

#include "wire.h"

/*
 * Whether to sleep soon when there is nothing to read. Without it the loop goes on asking for a while:
 * a receiver that sleeps has to be woken by the kernel in the middle of the server's send(), which on
 * a virtual machine costs more than the send itself, and which a server talking to other machines
 * never pays. Whether a receiver falls asleep between two deliveries depends on a hair. So even one
 * that sleeps stays awake for a moment, until an event has reached everybody.
 */
extern int sleeps;

enum {
    IN_FLIGHT_MAX = 1024,
    SILENCE_MAX_MS = 10000,   /* silence in the middle of something is a failure */
    ORDER_MAX_US = 120000000, /* so is an order that takes longer than this */
};

void start_loop(void);
void watch(struct connection *connection);
/* From now on the connection is only told when the server has closed it. */
void watch_its_end(struct connection *connection);
/* Lets every connection with something to read handle it; waits for the first one. */
void serve(int timeout_ms);
/* The same, but waits no longer than until then. */
void serve_until(double until_us);

/* A line "EVENTS IN_FLIGHT [PER_SECOND [DEPTH]]"; the modes say what it asks for. */
struct order {
    long events, in_flight;
    long per_second; /* 0: as soon as it may be */
    long depth;      /* requests under way on one connection */
};
/* Waits for the next order and serves the sockets meanwhile (pings). False: there are no more. */
int next_order(struct order *order);

struct figures {
    double *latencies; /* µs, one per event */
    long done;
    double began_us;
    double idle_us; /* with nothing to read */
};
extern struct figures figures;

void begin_figures(long events);
void note_latency(double sent_us);
/* How long the order has taken so far; an order that takes too long ends the program. */
double seconds_taken(void);
/*
 * The first half of the answer to an order; "busy" is the share of the time with something to do, and
 * with `all` there is each single latency, so that those of several orders can be put together.
 */
void print_figures(long events, double seconds, int all);

#endif
