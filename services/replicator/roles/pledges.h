// Pledges: how a master goes on while its coordinator does not answer.
//
// A pledge is the word of a member to the master of an epoch: for kPledgeTime I shall not be
// elected. A master that has one of every other member that may ever be master knows as well as by
// a lease that there is no other. It counts from before it asked, less an eighth for clocks that do
// not run at the same rate; who pledges counts from when it was asked. So a pledge is over at the
// master first. docs/replication.md says why that is enough.

#pragma once

#include <map>
#include <set>

#include "services/replicator/coordinator/group_record.h"
#include "services/replicator/coordinator/instant.h"

namespace dunlin::replicator {

// The same everywhere and always, for it is also how long a member that was started anew holds
// back: it may have pledged in its former life.
inline constexpr Duration kPledgeTime = std::chrono::seconds(2);
// A master asks so long before its lease is over, and again and again until it is renewed.
inline constexpr Duration kPledgeLead = kPledgeTime * 3 / 8;
inline constexpr Duration kPledgeInterval = kPledgeTime / 8;

// The master's end: what it was given.
class Pledges {
 public:
  // `others`: who has to pledge; who did keeps to it. When there are none, nothing stands for the
  // lease.
  void Require(const std::set<MemberName>& others);

  // `sent`: before the request left. Who refuses takes back what it pledged before.
  void OnAnswer(const MemberName& peer, bool granted, Instant sent);

  bool empty() const { return until_.empty(); }
  // Of all of them; the past while one is missing.
  Instant until() const;
  bool HeldAt(Instant now) const { return now < until(); }
  std::set<MemberName> names() const;  // of those who have to
  // Whose pledge is missing at `now`.
  std::set<MemberName> MissingAt(Instant now) const;

 private:
  std::map<MemberName, Instant> until_;
};

// The end of who pledges: what it holds back from.
class Abstention {
 public:
  // `started`: when this life of the member began.
  explicit Abstention(Instant started) : restarted_until_(started + kPledgeTime) {}

  void Pledge(const MemberName& master, Epoch epoch, Instant until);

  Instant pledged_until() const { return pledged_until_; }
  // What a former life may have pledged is over.
  Instant restarted_until() const { return restarted_until_; }
  // Of the newest pledge.
  const MemberName& master() const { return master_; }
  Epoch epoch() const { return epoch_; }

 private:
  Instant restarted_until_;
  Instant pledged_until_{};
  MemberName master_;
  Epoch epoch_;
};

}  // namespace dunlin::replicator
