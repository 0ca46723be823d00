// What Users declare, in the words of brokers (proto/dunlin/admin/v1), and in what a broker's
// differ from it. Pure; any thread.
//
// All of a user is the resource's: what is not given is not there.

#pragma once

#include <string>
#include <vector>

#include "operator/k8s/json.h"
#include "proto/dunlin/admin/v1/admin.pb.h"
#include "services/base/request_signature.h"

namespace dunlin::op {

// As it is to be created or updated, with its secret.
admin::v1::User UserOf(const k8s::Json& resource, const Credentials& credentials);

// What is not in `there` as it is in `wanted`, for people, who are not told secrets.
std::vector<std::string> DifferencesOf(const admin::v1::User& wanted, const admin::v1::User& there);

}  // namespace dunlin::op
