#include "clients/cpp/src/byte_stream.h"

#include "clients/cpp/src/connection.h"

namespace dunlin::internal {

ByteStream::ByteStream(const Connection& connection, StreamOwner& owner) : owner_(owner) {
  connection.Identify(context_);
}

std::shared_ptr<ByteStream> ByteStream::Start(const Connection& connection,
                                              const std::string& method, StreamOwner& owner) {
  std::shared_ptr<ByteStream> stream(new ByteStream(connection, owner));
  stream->self_ = stream;
  grpc::GenericStub stub(connection.channel());
  stub.PrepareBidiStreamingCall(&stream->context_, method, {}, stream.get());
  // Writes come from outside of reactions: gRPC must not be done before the reading side has ended.
  stream->AddHold();
  stream->StartRead(&stream->reading_);
  stream->StartCall();
  return stream;
}

bool ByteStream::BeginWrite() {
  MutexLock lock(mutex_);
  if (broken_) return false;
  writing_ = true;
  ++starting_;
  return true;
}

void ByteStream::EndStart() {
  bool release = false;
  {
    MutexLock lock(mutex_);
    --starting_;
    release = IsOver();
  }
  if (release) RemoveHold();
}

void ByteStream::EndWrite() {
  bool release = false;
  {
    MutexLock lock(mutex_);
    writing_ = false;
    release = IsOver();
  }
  if (release) RemoveHold();
}

void ByteStream::Write(const grpc::ByteBuffer& bytes) {
  if (!BeginWrite()) return;
  writing_bytes_ = bytes;
  StartWrite(&writing_bytes_);
  EndStart();
}

void ByteStream::Finish() {
  if (!BeginWrite()) return;
  StartWritesDone();
  EndStart();
}

void ByteStream::OnReadDone(bool ok) {
  if (ok) {
    owner_.OnRead(reading_);
    reading_.Clear();
    StartRead(&reading_);
    return;
  }
  bool release = false;
  {
    MutexLock lock(mutex_);
    broken_ = true;
    release = IsOver();
  }
  if (release) RemoveHold();
}

void ByteStream::OnWriteDone(bool /*ok*/) {
  writing_bytes_.Clear();
  // The hold outlasts this reaction: gRPC counts it among what is outstanding.
  EndWrite();
  owner_.OnWritten();
}

void ByteStream::OnWritesDoneDone(bool /*ok*/) { EndWrite(); }

void ByteStream::OnDone(const grpc::Status& status) {
  StreamOwner& owner = owner_;
  const grpc::Status reason = status;
  self_.reset();
  owner.OnEnd(reason);  // where the owner lets go as well
}

}  // namespace dunlin::internal
