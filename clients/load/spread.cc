#include "clients/load/spread.h"

#include "clients/load/ledger.h"

namespace dunlin::load {

uint64_t Spread::PlaceOf(uint64_t run, uint64_t number) const {
  if (kind == Kind::kEach) return number % places();
  return Scramble(run + number) % places();
}

}  // namespace dunlin::load
