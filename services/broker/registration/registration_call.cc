#include "services/broker/registration/registration_call.h"

#include <utility>

namespace dunlin::broker {

RegistrationCall::RegistrationCall(Stub& stub, std::function<void()> on_news)
    : on_news_(std::move(on_news)) {
  stub.async()->Register(&context_, this);
  AddHold();  // for Write, which comes from outside; until there is nothing more to read
  StartRead(&received_);
  StartCall();
}

RegistrationCall::~RegistrationCall() {
  context_.TryCancel();
  MutexLock lock(mutex_);
  while (!gone_) done_.Wait(mutex_);
}

RegistrationCall::News RegistrationCall::Look() {
  MutexLock lock(mutex_);
  News news = std::exchange(news_, News());
  news_.ended = news.ended;
  news.may_write = !writing_ && !broken_ && !news.ended.has_value();
  return news;
}

void RegistrationCall::Write(nameservice::v1::RegisterRequest request) {
  MutexLock lock(mutex_);
  if (broken_) return;
  sending_ = std::move(request);
  writing_ = true;
  StartWrite(&sending_);
}

void RegistrationCall::OnReadDone(bool ok) {
  if (!ok) {
    {
      MutexLock lock(mutex_);
      broken_ = true;
    }
    return RemoveHold();  // OnDone says why
  }
  {
    MutexLock lock(mutex_);
    if (received_.has_welcome()) news_.welcome = received_.welcome();
    if (received_.has_send_table()) news_.send_table = true;
    if (received_.has_group()) news_.group = std::move(*received_.mutable_group());
  }
  StartRead(&received_);
  on_news_();
}

void RegistrationCall::OnWriteDone(bool ok) {
  {
    MutexLock lock(mutex_);
    writing_ = false;
    broken_ = broken_ || !ok;
  }
  on_news_();
}

void RegistrationCall::OnDone(const grpc::Status& status) {
  {
    MutexLock lock(mutex_);
    news_.ended = status;
  }
  on_news_();
  MutexLock lock(mutex_);
  gone_ = true;
  done_.SignalAll();
}

}  // namespace dunlin::broker
