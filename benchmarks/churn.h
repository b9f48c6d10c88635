/*
 * Clients that join presence channels and leave them again while events are published: the members of a
 * channel are told of each, and the load generator counts that they are.
 */
#ifndef CHURN_H
#define CHURN_H

#include "clients.h"

int is_churner(const struct subscriber *self);
void hear_churner(struct subscriber *self, const struct frame *message);
/* A member, not a churner, was told that somebody joined, or left. */
void hear_member(int joined);

void begin_churn(void);
/* An event was published: from time to time somebody joins or leaves then. */
void churn_on(void);
/* Whether everybody has been told of everything. */
int churn_is_complete(void);
/* What members have been told in this order. */
long member_events(void);

#endif
