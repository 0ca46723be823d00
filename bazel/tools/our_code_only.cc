// A plugin of clang-tidy that keeps its checks to our own code.
//
// clang-tidy runs every check over all that a file includes and drops what it finds outside of
// HeaderFilterRegex; with gRPC, protobuf and Abseil that is nearly all of its time. Here, before
// the checks run, the walk is narrowed to declarations of files that are ours: not of the system,
// and not generated.

#include <clang/AST/ASTConsumer.h>
#include <clang/AST/ASTContext.h>
#include <clang/Basic/SourceManager.h>
#include <clang/Frontend/CompilerInstance.h>
#include <clang/Frontend/FrontendPluginRegistry.h>

#include <memory>
#include <string>
#include <vector>

namespace {

bool IsOurs(const clang::SourceManager& sources, const clang::Decl& declaration) {
  const clang::SourceLocation place = sources.getExpansionLoc(declaration.getLocation());
  if (place.isInvalid() || sources.isInSystemHeader(place)) return false;
  return !sources.getFilename(place).contains("bazel-out/");
}

class Narrow : public clang::ASTConsumer {
 public:
  void HandleTranslationUnit(clang::ASTContext& context) override {
    std::vector<clang::Decl*> ours;
    for (clang::Decl* declaration : context.getTranslationUnitDecl()->decls()) {
      if (IsOurs(context.getSourceManager(), *declaration)) ours.push_back(declaration);
    }
    context.setTraversalScope(ours);
  }
};

class NarrowAction : public clang::PluginASTAction {
 protected:
  std::unique_ptr<clang::ASTConsumer> CreateASTConsumer(clang::CompilerInstance&,
                                                        llvm::StringRef) override {
    return std::make_unique<Narrow>();
  }
  bool ParseArgs(const clang::CompilerInstance&, const std::vector<std::string>&) override {
    return true;
  }
  ActionType getActionType() override { return AddBeforeMainAction; }
};

const clang::FrontendPluginRegistry::Add<NarrowAction> registered(
    "our-code-only", "keeps the checks to our own code");

}  // namespace
