// GetPages: a whole list of the admin contract, which comes a page at a time. Main thread.

#pragma once

#include <grpcpp/grpcpp.h>

#include "clients/cli/connection.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"

namespace dunlin::cli {

// All pages from `request` on, as one answer; what stands in front of the failed one on failure.
template <typename Request, typename Response>
grpc::Status GetPages(Connection& connection,
                      grpc::Status (admin::v1::AdminService::Stub::*list)(grpc::ClientContext*,
                                                                          const Request&,
                                                                          Response*),
                      Request request, Response& all) {
  constexpr int kPage = 1000;
  request.set_page_size(kPage);
  do {
    Response page;
    const auto context = connection.Context();
    const grpc::Status status = (connection.admin().*list)(context.get(), request, &page);
    if (!status.ok()) return status;
    request.set_page_token(page.next_page_token());
    page.clear_next_page_token();
    all.MergeFrom(page);
  } while (!request.page_token().empty());
  return grpc::Status::OK;
}

}  // namespace dunlin::cli
