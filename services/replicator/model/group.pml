/*
 * A broker group of three: lease, epochs, in-sync set, promises, confirm offset, truncation.
 *
 * One step of the loop is one thing that can happen: a message arrives, a lease ends, a member
 * crashes. What is lost or late is a step that does not happen, or that happens after others.
 * Clocks that do not agree are leases that end for their holder at any moment, and at the
 * coordinator at any moment after that: this order is all that the margin of an eighth buys.
 * Pledges end in the same order; that who is started anew waits is a pledge that a crash leaves.
 *
 * Checked (assert): what was confirmed is in the log of every later master, at its place;
 * nobody acknowledges in an epoch of another or after a newer one acknowledged.
 *
 * -DQUORUM: mode QUORUM, otherwise SYNC. -DPLEDGES: with pledges for who has no lease. A log has L places, epochs go up to E, CRASHES members
 * crash, the in-sync set changes CHANGES times.
 * -DBUG_...: one rule is left out; a violation has to be found.
 */
#define N 3
#ifndef L
#define L 2
#endif
#ifndef E
#define E 3
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef CHANGES
#define CHANGES 2
#endif
#define NOBODY 7
#define BIT(x) (1 << (x))
#define HAS(set, x) (((set) >> (x)) & 1)

/* The rules that a bug leaves out. */
#ifdef BUG_ELECT_OUTSIDE_IN_SYNC
#define MAY_STAND(m) true
#define HAS_NO_MORE(voter, m) true
#else
#define MAY_STAND(m) HAS(rec_set, m)
#define HAS_NO_MORE(voter, m) \
  (last[voter] < last[m] || (last[voter] == last[m] && size[voter] <= size[m]))
#endif
#ifdef BUG_NO_EPOCH_CHECK
#define EPOCH_IS_NEW(e, known) true
#else
#define EPOCH_IS_NEW(e, known) ((e) >= (known))
#endif
#ifdef BUG_ONE_PLEDGE
#define ALL_PLEDGED(m) (pledged[m] != 0)
#else
#define ALL_PLEDGED(m) (pledged[m] == 7 - BIT(m))
#endif
#define HOLDS(m) (leased[m] || ALL_PLEDGED(m))
#ifdef BUG_ACK_WITHOUT_LEASE
#define MAY_TELL(m) true
#else
#define MAY_TELL(m) HOLDS(m)
#endif
#ifdef BUG_FORGET_PLEDGE
#define FORGETS_ITS_PLEDGE(m) for_whom[m] = 0;
#else
#define FORGETS_ITS_PLEDGE(m)
#endif
#ifdef BUG_SHRINK_WITHOUT_CAS
#define IS_WRITTEN(m) true
#else
#define IS_WRITTEN(m) applied[m]
#endif

typedef Log {
  byte epoch[L];    /* of the record at each place; an epoch has one writer: this names it */
  byte start[E + 1] /* of each epoch in the history, plus one; 0: not in it */
};
typedef Acks {
  byte end[N] /* what each member acknowledged to this one as master, plus one; 0: nothing */
};

/* ---- the coordinator ---- */
byte rec_epoch;
byte rec_set = 7;
byte holder = NOBODY;

/* ---- durable in each member ---- */
Log log[N];
byte size[N];
byte last[N];     /* newest epoch of its history */
byte promised[N];
byte for_whom[N]; /* holds back for this master plus one; 0: does not */

/* ---- lost in a crash ---- */
byte seen[N];     /* highest epoch that a stream or the record told of */
byte mine[N];     /* master of this epoch; 0: not master */
bool serving[N];  /* the start of the epoch is confirmed */
bool leased[N];   /* believes that its lease holds */
byte pledged[N];  /* believes that these hold back for it */
byte conf[N];
byte set[N];      /* in-sync set as the master knows it */
byte pend[N];     /* a change of it under way; 0: none */
bool applied[N];  /* the coordinator has carried it out */
byte granted[N];  /* promises that it has for the epoch it asks for */
byte asks[N];     /* that epoch; 0: does not ask */
byte from[N];     /* follows this master plus one; 0: none */
byte stream[N];   /* in this epoch of it */
Acks acks[N];

/* ---- on the network: the newest acknowledgement of each slave ---- */
byte wire_to[N];  /* plus one; 0: none */
byte wire_epoch[N];
byte wire_end[N];
bool wire_begun[N];

/* ---- what was promised to the outside ---- */
byte told_len;
byte told[L];
byte told_epoch;  /* newest epoch that anybody acknowledged in */
byte told_by = NOBODY;

byte crashes;
byte changes;

byte k, x, top;  /* of the step; 0 between steps */

#define MAX(a, b) ((a) > (b) -> (a) : (b))
/* The highest epoch that m has seen or promised. */
#define HIGHEST(m) MAX(promised[m], MAX(last[m], seen[m]))

inline begin(who, what) {
  log[who].start[what] = size[who] + 1;
  last[who] = what
}

/* m is no master and no candidate any more. */
inline step_down(m) {
  mine[m] = 0; serving[m] = false; leased[m] = false; pledged[m] = 0;
  set[m] = 0; pend[m] = 0; applied[m] = false; asks[m] = 0; granted[m] = 0; conf[m] = 0;
  acks[m].end[0] = 0; acks[m].end[1] = 0; acks[m].end[2] = 0
}

/* End of an epoch in the log of m. */
inline end_of(m, e, result) {
  result = size[m];
  k = e + 1;
  do
  :: k > E -> break
  :: k <= E ->
     if :: log[m].start[k] > 0 -> result = log[m].start[k] - 1; break :: else -> k++ fi
  od;
  k = 0
}

/* Slave s makes its log a prefix of that of m: the last common point of their histories. */
inline truncate(s, m) {
  x = E;
  do
  :: x == 0 -> break
  :: x > 0 && log[s].start[x] > 0 && log[s].start[x] == log[m].start[x] -> break
  :: else -> x--
  od;
  /* x: the common epoch; 0: none, begin anew */
  if
  :: x == 0 -> size[s] = 0
  :: else ->
     end_of(s, x, top);
     size[s] = top;
     end_of(m, x, top);
     if :: top < size[s] -> size[s] = top :: else fi
  fi;
  last[s] = x;
  k = x + 1;
  do :: k > E -> break :: k <= E -> log[s].start[k] = 0; k++ od;
  k = size[s];
  do :: k >= L -> break :: k < L -> log[s].epoch[k] = 0; k++ od;
  k = 0; x = 0; top = 0
}

/* The next epoch that begins where the log of slave s ends, in that of m, and not yet in that of s,
 * into x; 0: none. Also one without a record. */
inline next_begin(m, s) {
  x = 0; k = last[s] + 1;
  do
  :: k > E -> break
  :: k <= E ->
     if :: log[m].start[k] == size[s] + 1 -> x = k; break :: else -> k++ fi
  od;
  k = 0
}

/* What the rule of the mode confirms for master m, plus one, into x; 0: nothing. */
inline confirmable(m) {
  acks[m].end[m] = size[m] + 1;
#ifdef QUORUM
  /* the second highest of three */
  x = 0; top = 0; k = 0;
  do
  :: k == N -> break
  :: k < N ->
     if
     :: acks[m].end[k] > top -> x = top; top = acks[m].end[k]
     :: acks[m].end[k] <= top && acks[m].end[k] > x -> x = acks[m].end[k]
     :: else
     fi;
     k++
  od;
#else
  x = L + 1; k = 0;
  do
  :: k == N -> break
  :: k < N ->
     if
     :: HAS(set[m] | pend[m], k) && acks[m].end[k] < x -> x = acks[m].end[k]
     :: else
     fi;
     k++
  od;
#endif
  acks[m].end[m] = 0;
  if :: x > 0 && x < log[m].start[mine[m]] -> x = 0 :: else fi;
  top = 0; k = 0
}

/* Everything below conf is shown and acknowledged by m. */
inline tell(m) {
  assert(mine[m] >= told_epoch);
  assert(mine[m] > told_epoch || told_by == m || told_by == NOBODY);
  told_epoch = mine[m]; told_by = m;
  k = 0;
  do
  :: k == conf[m] -> break
  :: k < conf[m] ->
     if
     :: k < told_len -> assert(told[k] == log[m].epoch[k])
     :: else -> told[k] = log[m].epoch[k]; told_len = k + 1
     fi;
     k++
  od;
  k = 0
}

/* Who is elected has all that anybody was told. */
inline check_complete(m) {
  assert(size[m] >= told_len);
  k = 0;
  do
  :: k == told_len -> break
  :: k < told_len -> assert(told[k] == log[m].epoch[k]); k++
  od;
  k = 0
}

/* `e` is an expression, of what changes last. */
inline become_master(m, e) {
  check_complete(m);
  mine[m] = e;
  begin(m, mine[m]);
  holder = m; leased[m] = true; set[m] = rec_set; from[m] = 0; stream[m] = 0;
  rec_epoch = mine[m]; asks[m] = 0; granted[m] = 0
}

/* Steps, for each member or pair of members: one transition each, without states in between. */
#define EACH(step) step(0) step(1) step(2)
#define EACH_PAIR(step) step(0, 1) step(0, 2) step(1, 0) step(1, 2) step(2, 0) step(2, 1)

/* ---- lease ---- */
#define LEASE_ENDS(i) :: d_step { leased[i] -> leased[i] = false }
#define LEASE_IS_EXTENDED(i) \
  :: d_step { mine[i] != 0 && holder == i && !leased[i] -> leased[i] = true }
#define NOTICES_THAT_IT_IS_OVER(i) \
  :: d_step { mine[i] != 0 && \
              (rec_epoch != mine[i] || (holder != i && !(holder == NOBODY && ALL_PLEDGED(i)))) -> \
              step_down(i) }

/* ---- pledges: of j for master i ---- */
#define PLEDGES_IT(i, j) \
  :: d_step { mine[i] != 0 && mine[j] == 0 && !HAS(pledged[i], j) && HIGHEST(j) <= mine[i] -> \
              for_whom[j] = i + 1; pledged[i] = pledged[i] | BIT(j) }
#define PLEDGE_ENDS_AT_MASTER(i, j) \
  :: d_step { HAS(pledged[i], j) -> pledged[i] = pledged[i] & (7 - BIT(j)) }
#define PLEDGE_ENDS(j) \
  :: d_step { for_whom[j] != 0 && !HAS(pledged[for_whom[j] - 1], j) -> for_whom[j] = 0 }
#define TAKES_THE_LEASE_AGAIN(i) \
  :: d_step { mine[i] != 0 && holder == NOBODY && rec_epoch == mine[i] -> \
              holder = i; leased[i] = true }

/* ---- election ---- */
#define STANDS(i) \
  :: d_step { holder == NOBODY && asks[i] == 0 && mine[i] == 0 && for_whom[i] == 0 && \
              MAX(HIGHEST(i), rec_epoch) < E -> \
              asks[i] = MAX(HIGHEST(i), rec_epoch) + 1; promised[i] = asks[i]; \
              granted[i] = BIT(i); from[i] = 0; stream[i] = 0 }
#define GIVES_UP(i) :: d_step { asks[i] != 0 -> step_down(i) }
/* j promises to candidate i. */
#define PROMISES(i, j) \
  :: d_step { asks[i] != 0 && !HAS(granted[i], j) && !HOLDS(j) && asks[i] >= HIGHEST(j) && \
              asks[i] > last[j] && asks[i] > seen[j] -> \
              promised[j] = asks[i]; \
              step_down(j); \
              if :: stream[j] < promised[j] -> from[j] = 0; stream[j] = 0 :: else fi; \
              if :: HAS_NO_MORE(j, i) -> granted[i] = granted[i] | BIT(j) :: else fi }
#define IS_ELECTED_BY_PROMISES(i) \
  :: d_step { asks[i] != 0 && holder == NOBODY && asks[i] > rec_epoch && \
              (granted[i] == 3 || granted[i] == 5 || granted[i] == 6 || granted[i] == 7) -> \
              become_master(i, asks[i]) }
#define IS_ELECTED(i) \
  :: d_step { holder == NOBODY && mine[i] == 0 && for_whom[i] == 0 && rec_epoch < E && \
              MAY_STAND(i) -> \
              become_master(i, rec_epoch + 1) }

/* ---- shipping: from master i to slave j ---- */
#define CONNECTS(i, j) \
  :: d_step { mine[i] != 0 && mine[j] == 0 && stream[j] != mine[i] && \
              EPOCH_IS_NEW(mine[i], HIGHEST(j)) -> \
              truncate(j, i); \
              from[j] = i + 1; stream[j] = mine[i]; seen[j] = MAX(seen[j], mine[i]); \
              asks[j] = 0; granted[j] = 0; acks[i].end[j] = 0 }
#define SHIPS(i, j) \
  :: d_step { from[j] == i + 1 && mine[i] == stream[j] && mine[i] != 0 && \
              (size[j] < size[i] || last[j] < last[i]) -> \
              next_begin(i, j); \
              if \
              :: x > 0 -> begin(j, x) \
              :: x == 0 && size[j] < size[i] -> \
                 log[j].epoch[size[j]] = log[i].epoch[size[j]]; \
                 size[j]++ \
              :: else \
              fi; \
              x = 0 }
#define ACKNOWLEDGES(j) \
  :: d_step { from[j] != 0 && (wire_to[j] != from[j] || wire_epoch[j] != stream[j] || \
              wire_end[j] != size[j] || wire_begun[j] != (last[j] == stream[j])) -> \
              wire_to[j] = from[j]; wire_epoch[j] = stream[j]; wire_end[j] = size[j]; \
              wire_begun[j] = (last[j] == stream[j]) }
#define ACK_ARRIVES(i, j) \
  :: d_step { wire_to[j] == i + 1 -> \
              if \
              :: mine[i] == wire_epoch[j] && wire_begun[j] -> \
                 acks[i].end[j] = wire_end[j] + 1 \
              :: else \
              fi; \
              wire_to[j] = 0; wire_epoch[j] = 0; wire_end[j] = 0; wire_begun[j] = false }

/* ---- the master ---- */
#define CONFIRMS(i) \
  :: d_step { mine[i] != 0 -> \
              confirmable(i); \
              if \
              :: x > 0 && (x - 1 > conf[i] || !serving[i]) -> \
                 conf[i] = MAX(conf[i], x - 1); serving[i] = true \
              :: else \
              fi; \
              x = 0 }
#define TAKES_A_MESSAGE(i) \
  :: d_step { serving[i] && HOLDS(i) && size[i] < L -> \
              log[i].epoch[size[i]] = mine[i]; size[i]++ }
#define TELLS(i) \
  :: d_step { serving[i] && conf[i] > 0 && MAY_TELL(i) && \
              (told_len < conf[i] || told_epoch != mine[i]) -> tell(i) }

/* ---- the in-sync set: the change that master i makes of member j ---- */
#define WANTS_OUT(i, j) \
  :: d_step { mine[i] != 0 && pend[i] == 0 && changes < CHANGES && HAS(set[i], j) -> \
              pend[i] = set[i] & (7 - BIT(j)); changes++ }
#define WANTS_IN(i, j) \
  :: d_step { serving[i] && pend[i] == 0 && changes < CHANGES && !HAS(set[i], j) && \
              acks[i].end[j] > conf[i] -> \
              pend[i] = set[i] | BIT(j); changes++ }
#define CHANGE_IS_WRITTEN(i) \
  :: d_step { pend[i] != 0 && !applied[i] && holder == i && rec_epoch == mine[i] -> \
              rec_set = pend[i]; applied[i] = true }
#define CHANGE_COUNTS(i) \
  :: d_step { pend[i] != 0 && IS_WRITTEN(i) -> \
              set[i] = pend[i]; pend[i] = 0; applied[i] = false }

#define CRASHES_AND_STARTS(i) \
  :: d_step { crashes < CRASHES -> \
              crashes++; step_down(i); seen[i] = 0; from[i] = 0; stream[i] = 0; \
              FORGETS_ITS_PLEDGE(i) \
              wire_to[i] = 0; wire_epoch[i] = 0; wire_end[i] = 0; wire_begun[i] = false }

active proctype group() {
  do
  EACH(LEASE_ENDS)
  EACH(LEASE_IS_EXTENDED)
  :: d_step { holder != NOBODY && !leased[holder] -> holder = NOBODY }
  EACH(NOTICES_THAT_IT_IS_OVER)
#ifdef PLEDGES
  EACH_PAIR(PLEDGES_IT)
  EACH_PAIR(PLEDGE_ENDS_AT_MASTER)
  EACH(PLEDGE_ENDS)
  EACH(TAKES_THE_LEASE_AGAIN)
#endif
#ifdef QUORUM
  EACH(STANDS)
  EACH(GIVES_UP)
  EACH_PAIR(PROMISES)
  EACH(IS_ELECTED_BY_PROMISES)
#else
  EACH(IS_ELECTED)
  EACH_PAIR(WANTS_OUT)
  EACH_PAIR(WANTS_IN)
  EACH(CHANGE_IS_WRITTEN)
  EACH(CHANGE_COUNTS)
#endif
  EACH_PAIR(CONNECTS)
  EACH_PAIR(SHIPS)
  EACH(ACKNOWLEDGES)
  EACH_PAIR(ACK_ARRIVES)
  EACH(CONFIRMS)
  EACH(TAKES_A_MESSAGE)
  EACH(TELLS)
  EACH(CRASHES_AND_STARTS)
  od
}
