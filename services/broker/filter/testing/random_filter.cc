#include "services/broker/filter/testing/random_filter.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <string_view>
#include <utility>

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;
using Random = std::mt19937_64;

enum class Source { kUser, kTags, kKeys, kId };

struct Property {
  std::string_view key;
  std::string_view written;  // in a filter
  Source source = Source::kUser;
};

constexpr std::array<Property, 10> kProperties = {{
    {"i", "i"},
    {"I", "I"},
    {"price", "price"},
    {"flag", "flag"},
    {"$x_1", "$x_1"},
    {"order-id", "`order-id`"},
    {"in", "`in`"},
    {"TAGS", "TAGS", Source::kTags},
    {"KEYS", "KEYS", Source::kKeys},
    {"UNIQ_KEY", "UNIQ_KEY", Source::kId},
}};

// None of them a number or a truth.
constexpr std::array<std::string_view, 15> kTexts = {
    "", "a", "A", "b", "ab", "abc", "bc", "it's", "%", "_b", "a b", "Zürich", "水", "1a", "--"};
constexpr std::array<int64_t, 12> kIntegers = {
    0, 1, -1, 2, 3, 10, 9007199254740992, 9007199254740993, INT64_MAX, INT64_MIN, INT64_MIN + 1,
    -7};
constexpr std::array<double, 12> kFloats = {0.5,
                                            -0.5,
                                            2.5,
                                            1e300,
                                            -1e300,
                                            0.1,
                                            1e-300,
                                            9007199254740992.0,
                                            9223372036854775808.0,
                                            -9223372036854775808.0,
                                            3.25,
                                            1e16};

size_t Below(Random& random, size_t bound) { return random() % bound; }
bool OneIn(Random& random, size_t n) { return Below(random, n) == 0; }

template <typename Values>
auto Any(Random& random, const Values& values) {
  return values[Below(random, values.size())];
}

// A number without a sign, in one of the forms that both properties and filters may have.
std::string Unsigned(Random& random, int64_t value) {
  const std::string digits =
      value == INT64_MIN ? "9223372036854775808" : std::to_string(value < 0 ? -value : value);
  const bool is_exact_float =
      std::abs(static_cast<double>(value)) <= 9007199254740992.0 && value != 9007199254740993;
  if (OneIn(random, 5)) return "00" + digits;
  if (is_exact_float && OneIn(random, 5)) return digits + (OneIn(random, 2) ? "." : ".0");
  if (is_exact_float && OneIn(random, 8)) return digits + (OneIn(random, 2) ? "e0" : "E+00");
  return digits;
}

std::string Unsigned(Random& random, double value) {
  std::string text = fmt::format("{}", std::fabs(value));
  if (text.starts_with("0.") && OneIn(random, 2)) text.erase(0, 1);
  // Digits alone would be an integer, which need not fit.
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

SampleNumber RandomNumber(Random& random) {
  if (OneIn(random, 2)) return Any(random, kIntegers);
  if (OneIn(random, 3)) return Any(random, kFloats);
  return static_cast<int64_t>(Below(random, 9)) - 4;
}

bool IsNegative(const SampleNumber& number) {
  if (const auto* integer = std::get_if<int64_t>(&number)) return *integer < 0;
  return std::get<double>(number) < 0;
}

std::string Unsigned(Random& random, const SampleNumber& number) {
  if (const auto* integer = std::get_if<int64_t>(&number)) return Unsigned(random, *integer);
  return Unsigned(random, std::get<double>(number));
}

SampleValue RandomValue(Random& random) {
  SampleValue value;
  switch (Below(random, 5)) {
    case 0:
      return value;
    case 1:
    case 2:
      value.number = RandomNumber(random);
      value.text = Unsigned(random, value.number);
      if (IsNegative(value.number)) {
        value.text = "-" + *value.text;
      } else if (OneIn(random, 6)) {
        value.text = "+" + *value.text;
      }
      return value;
    case 3:
      value.truth = OneIn(random, 2);
      value.text = *value.truth ? (OneIn(random, 2) ? "true" : "TRUE")
                                : (OneIn(random, 2) ? "false" : "False");
      return value;
    default:
      value.text = Any(random, kTexts);
      return value;
  }
}

// A key for each of several, one for one.
SampleValue RandomKeys(Random& random, v2::SystemProperties& properties) {
  SampleValue value = RandomValue(random);
  if (!value.text.has_value() || value.text->empty()) return {};
  properties.add_keys(*value.text);
  for (; OneIn(random, 3); value.number = std::monostate(), value.truth.reset()) {
    const std::string_view another = kTexts[1 + Below(random, kTexts.size() - 1)];
    properties.add_keys(another.data(), another.size());
    *value.text += " " + std::string(another);
  }
  return value;
}

// Two texts of one condition or operand.
struct Clause {
  // What a clause is, from the loosest binding on.
  enum Level { kOr, kAnd, kNot, kPredicate };
  std::string filter;
  std::string sqlite;  // in parentheses where it is more than a name
  Level level = kPredicate;
};

class Generator {
 public:
  explicit Generator(Random& random) : random_(random) {}

  SampleFilter Run() {
    Clause clause = Condition(/*depth=*/1 + static_cast<int>(Below(random_, 4)));
    return {Gap(0) + clause.filter + Gap(0), clause.sqlite, std::move(parameters_)};
  }

 private:
  Clause Condition(int depth) {
    if (depth == 0) return Predicate();
    switch (Below(random_, 4)) {
      case 0:
        return Chain("OR", Clause::kOr, depth);
      case 1:
        return Chain("AND", Clause::kAnd, depth);
      case 2: {
        const Clause inner = Condition(depth - 1);
        return {Word("NOT") + Gap(1) + AtLeast(Clause::kNot, inner), "(NOT " + inner.sqlite + ")",
                Clause::kNot};
      }
      default:
        return Predicate();
    }
  }

  Clause Chain(std::string_view keyword, Clause::Level level, int depth) {
    Clause all{.level = level};
    const size_t parts = 2 + Below(random_, 2);
    for (size_t i = 0; i < parts; ++i) {
      const Clause part = Condition(depth - 1);
      if (i > 0) {
        all.filter += Gap(1) + Word(keyword) + Gap(1);
        all.sqlite += fmt::format(" {} ", keyword);
      }
      all.filter += AtLeast(level, part);
      all.sqlite += part.sqlite;
    }
    all.sqlite = "(" + all.sqlite + ")";
    return all;
  }

  // In parentheses when it binds less than `level`, and now and then without need.
  std::string AtLeast(Clause::Level level, const Clause& clause) {
    if (clause.level >= level && !OneIn(random_, 6)) return clause.filter;
    return "(" + Gap(0) + clause.filter + Gap(0) + ")";
  }

  Clause Predicate() {
    switch (Below(random_, 10)) {
      case 0:
      case 1:
        return CompareNumbers();
      case 2:
        return CompareTexts();
      case 3:
        return CompareTruths();
      case 4:
        return Between();
      case 5:
        return In();
      case 6:
      case 7:
        return Search();
      case 8:
        return IsNull();
      default:
        return Truth(/*constants=*/true);
    }
  }

  Clause CompareNumbers() {
    const size_t comparison = Below(random_, 6);
    bool plain = false;
    const Clause left = Number(plain);
    // Two plain properties are equal when their texts are.
    const bool equality = comparison < 2;
    const Clause right = equality && plain ? Literal() : Number(plain);
    constexpr std::array<std::string_view, 6> kComparisons = {"=", "<>", "<", "<=", ">", ">="};
    return Compare(left, kComparisons[comparison], right);
  }

  Clause CompareTexts() {
    const size_t left = Below(random_, kProperties.size());
    Clause right = Text();
    if (OneIn(random_, 2)) {
      const size_t other = Below(random_, kProperties.size());
      right = {std::string(kProperties[other].written), fmt::format("t{}", other)};
    }
    Clause name{std::string(kProperties[left].written), fmt::format("t{}", left)};
    if (OneIn(random_, 3)) std::swap(name, right);
    return Compare(name, OneIn(random_, 2) ? "=" : "<>", right);
  }

  Clause CompareTruths() {
    Clause left = Truth(/*constants=*/false);
    Clause right = Constant();
    if (OneIn(random_, 3)) std::swap(left, right);
    return Compare(left, OneIn(random_, 2) ? "=" : "<>", right);
  }

  Clause Compare(const Clause& left, std::string_view comparison, const Clause& right) {
    return {Operand(left) + Gap(0) + std::string(comparison) + Gap(0) + Operand(right),
            fmt::format("({} {} {})", left.sqlite, comparison, right.sqlite)};
  }

  Clause Between() {
    bool plain = false;
    const Clause value = Number(plain);
    const Clause low = Number(plain);
    const Clause high = Number(plain);
    const Clause no = MaybeNot();
    return {
        Operand(value) + Gap(1) + no.filter + Word("BETWEEN") + Gap(1) + Operand(low) + Gap(1) +
            Word("AND") + Gap(1) + Operand(high),
        fmt::format("({} {}BETWEEN {} AND {})", value.sqlite, no.sqlite, low.sqlite, high.sqlite)};
  }

  // Of texts and numbers, which are compared with the text and the number of the property.
  Clause In() {
    const size_t property = Below(random_, kProperties.size());
    std::string filter;
    std::string texts;
    std::string numbers;
    for (size_t left = 1 + Below(random_, 5); left > 0; --left) {
      const bool is_text = OneIn(random_, 2);
      const Clause element = is_text ? Text() : Literal();
      std::string& list = is_text ? texts : numbers;
      list += (list.empty() ? "" : ", ") + element.sqlite;
      filter += (filter.empty() ? "" : Gap(0) + "," + Gap(0)) + element.filter;
    }
    std::string sqlite;
    if (!texts.empty()) sqlite = fmt::format("t{} IN ({})", property, texts);
    if (!numbers.empty()) {
      sqlite += fmt::format("{}n{} IN ({})", sqlite.empty() ? "" : " OR ", property, numbers);
    }
    const Clause no = MaybeNot();
    return {std::string(kProperties[property].written) + Gap(1) + no.filter + Word("IN") + Gap(0) +
                "(" + filter + Gap(0) + ")",
            fmt::format("({}({}))", no.sqlite, sqlite)};
  }

  Clause Search() {
    const size_t property = Below(random_, kProperties.size());
    const Clause text = Text();
    const std::string t = fmt::format("t{}", property);
    std::string_view keyword = "CONTAINS";
    std::string sqlite = fmt::format("instr({}, {}) > 0", t, text.sqlite);
    switch (Below(random_, 3)) {
      case 0:
        keyword = "STARTSWITH";
        sqlite = fmt::format("substr({0}, 1, length({1})) = {1}", t, text.sqlite);
        break;
      case 1:
        keyword = "ENDSWITH";
        sqlite = fmt::format(
            "length({0}) >= length({1}) AND substr({0}, length({0}) - length({1}) + 1) = {1}", t,
            text.sqlite);
        break;
      default:
        break;
    }
    const Clause no = MaybeNot();
    return {std::string(kProperties[property].written) + Gap(1) + no.filter + Word(keyword) +
                Gap(0) + text.filter,
            fmt::format("({}({}))", no.sqlite, sqlite)};
  }

  Clause IsNull() {
    const size_t property = Below(random_, kProperties.size());
    Clause operand{std::string(kProperties[property].written), fmt::format("t{}", property)};
    if (OneIn(random_, 3)) {
      bool plain = false;
      operand = Number(plain);
      if (plain) operand.sqlite[0] = 't';
    }
    const bool no = OneIn(random_, 2);
    return {Operand(operand) + Gap(1) + Word("IS") + Gap(1) +
                (no ? Word("NOT") + Gap(1) : std::string()) + Word("NULL"),
            fmt::format("({} IS {}NULL)", operand.sqlite, no ? "NOT " : "")};
  }

  // A literal or a property as a number; `plain`: without a sign, so that it could be a text.
  Clause Number(bool& plain) {
    plain = false;
    if (OneIn(random_, 2)) return Literal();
    const size_t property = Below(random_, kProperties.size());
    const std::string name(kProperties[property].written);
    const std::string column = fmt::format("n{}", property);
    switch (Below(random_, 6)) {
      case 0:
        return {"-" + Gap(0) + name, "(-" + column + ")"};
      case 1:
        return {"+" + Gap(0) + name, column};
      case 2:
        return {"-(" + Gap(0) + "- " + name + ")", column};
      case 3:
        return {"- + " + name, "(-" + column + ")"};
      default:
        plain = true;
        return {name, column};
    }
  }

  Clause Literal() {
    const SampleNumber number = RandomNumber(random_);
    std::string text = Unsigned(random_, number);
    const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
    if (digits && OneIn(random_, 8)) text += OneIn(random_, 2) ? "L" : "l";
    if (IsNegative(number)) {
      text = (OneIn(random_, 5) ? "+ -" : "-") + text;
    } else if (OneIn(random_, 8)) {
      text = (OneIn(random_, 2) ? "+" : "- -") + text;
    }
    parameters_.push_back(number);
    return {text, fmt::format("?{}", parameters_.size())};
  }

  Clause Text() {
    std::string quoted = "'";
    for (const char c : Any(random_, kTexts))
      quoted += c == '\'' ? std::string("''") : std::string(1, c);
    quoted += "'";
    return {quoted, quoted};
  }

  Clause Constant() {
    const bool truth = OneIn(random_, 2);
    return {Word(truth ? "TRUE" : "FALSE"), truth ? "1" : "0"};
  }

  Clause Truth(bool constants) {
    if (constants && OneIn(random_, 6)) return {Word("NULL"), "NULL"};
    if (constants && OneIn(random_, 3)) return Constant();
    const size_t property = Below(random_, kProperties.size());
    return {std::string(kProperties[property].written), fmt::format("b{}", property)};
  }

  Clause MaybeNot() {
    if (!OneIn(random_, 3)) return {};
    return {Word("NOT") + Gap(1), "NOT "};
  }

  std::string Operand(const Clause& clause) {
    return OneIn(random_, 8) ? "(" + Gap(0) + clause.filter + ")" : clause.filter;
  }

  // A keyword in any case.
  std::string Word(std::string_view keyword) {
    std::string word(keyword);
    if (OneIn(random_, 2)) return word;
    for (char& c : word) {
      if (OneIn(random_, 2)) c = static_cast<char>(c - 'A' + 'a');
    }
    return word;
  }

  // Blanks, or a comment; with `least` 0 perhaps nothing.
  std::string Gap(size_t least) {
    switch (Below(random_, 10)) {
      case 0:
        return " /* 'a' -- b */ ";
      case 1:
        return " -- a comment)\n";
      case 2:
        return "\t\n ";
      case 3:
        return "  ";
      default:
        return least > 0 || OneIn(random_, 2) ? " " : "";
    }
  }

  Random& random_;
  std::vector<SampleNumber> parameters_;
};

}  // namespace

size_t SampleProperties() { return kProperties.size(); }

SampleMessage RandomSampleMessage(Random& random) {
  SampleMessage sample;
  v2::SystemProperties& system = *sample.message.mutable_system_properties();
  for (const Property& property : kProperties) {
    SampleValue value =
        property.source == Source::kKeys ? RandomKeys(random, system) : RandomValue(random);
    const bool is_empty = !value.text.has_value() || value.text->empty();
    if (property.source != Source::kUser && is_empty) value = {};
    if (value.text.has_value()) {
      if (property.source == Source::kUser) {
        (*sample.message.mutable_user_properties())[std::string(property.key)] = *value.text;
      }
      if (property.source == Source::kTags) system.set_tag(*value.text);
      if (property.source == Source::kId) system.set_message_id(*value.text);
    }
    sample.values.push_back(std::move(value));
  }
  sample.message.set_body(std::string(Below(random, 50), 'x'));
  return sample;
}

SampleFilter RandomSampleFilter(Random& random) { return Generator(random).Run(); }

}  // namespace dunlin::broker
