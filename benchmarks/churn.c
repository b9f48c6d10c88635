/* The clients that come and go; see churn.h. */
#include "churn.h"
#include "dialect.h"

enum {
    EVENTS_PER_STEP = 4, /* one joins or leaves with every fourth event */
    STRIDE = 7919,       /* a prime: successive channels are far apart */
};

/* By churner: where it is, and whether its subscription is under way. */
static struct {
    long channel;
    int inside, waits;
} *churners;

static struct {
    long published, owed; /* events since the order began; steps that wait for a free churner */
    long turn;            /* whose it is */
    long steps;           /* taken since the generator started; they choose the channels */
    long joins, leaves;   /* in this order, each to be told to all members of the channel */
    long told_joins, told_leaves;
} churn;

int is_churner(const struct subscriber *self)
{
    return self->connection.number >= options.connections;
}

/* As long as there are at least as many channels as churners, no two of these meet in one. */
static long next_channel(long churner)
{
    long rows = options.channels / options.churners;

    return churner + options.churners * (churn.steps * STRIDE % rows);
}

static long members(void)
{
    return options.subscriptions / options.channels;
}

static void step(long churner)
{
    struct subscriber *self = &subscribers[options.connections + churner];

    churn.steps++;
    if (churners[churner].inside) {
        churners[churner].inside = 0;
        churn.leaves += members();
        dialect->unsubscribe(self, churners[churner].channel);
        return;
    }
    churners[churner].channel = next_channel(churner);
    churners[churner].waits = 1;
    churn.joins += members();
    dialect->subscribe(self, churners[churner].channel);
}

static void take_steps(void)
{
    while (churn.owed && !churners[churn.turn].waits) {
        churn.owed--;
        step(churn.turn);
        churn.turn = (churn.turn + 1) % options.churners;
    }
}

/* Events of the channel it visits do not count: it depends on the moment whether it gets them. */
void hear_churner(struct subscriber *self, const struct frame *message)
{
    long churner = self->connection.number - options.connections;

    switch (dialect->meaning(message)) {
    case ACKNOWLEDGEMENT:
        churners[churner].waits = 0;
        churners[churner].inside = 1;
        take_steps();
        break;
    case PING: dialect->answer_ping(self); break;
    case REFUSAL:
        fail("churner %ld: %.*s", churner, (int)message->size, (const char *)message->payload);
    default: break;
    }
}

void hear_member(int joined)
{
    if (joined)
        churn.told_joins++;
    else
        churn.told_leaves++;
}

void begin_churn(void)
{
    if (!options.churners)
        return;
    if (!churners) {
        if (options.channels < options.churners || options.subscriptions % options.channels)
            fail("churners need as many channels, with the same number of members each");
        churners = allocate((size_t)options.churners, sizeof *churners);
    }
    churn.published = churn.owed = churn.joins = churn.leaves = 0;
    churn.told_joins = churn.told_leaves = 0;
}

void churn_on(void)
{
    if (!options.churners || ++churn.published % EVENTS_PER_STEP)
        return;
    churn.owed++;
    take_steps();
}

int churn_is_complete(void)
{
    if (!options.churners)
        return 1;
    if (churn.told_joins > churn.joins || churn.told_leaves > churn.leaves)
        fail("members were told of %ld joins and %ld leaves, but there were %ld and %ld",
             churn.told_joins, churn.told_leaves, churn.joins, churn.leaves);
    return !churn.owed && churn.told_joins == churn.joins && churn.told_leaves == churn.leaves;
}

long member_events(void)
{
    return churn.told_joins + churn.told_leaves;
}
