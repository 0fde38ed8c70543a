// Moments of disjoint replicate ranges, merged along a fixed tree: full blocks are the leaves of a binary tree over
// block numbers and siblings merge as soon as both are there, so the order of arrival never shows in the result.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "../core/moments.hpp"

namespace anneal_sgd {

class MomentTree {
public:
    using Cells = std::vector<Moment>;  // one per (config, record)
    struct Node {
        std::int64_t stop;
        Cells cells;
    };

    // Adds replicates [start, stop): part of one block, or a node of the tree. Throws std::invalid_argument on overlap.
    void insert(std::int64_t start, std::int64_t stop, Cells cells);

    // By first replicate. After any insertions these are the maximal tree nodes, plus the partly covered blocks.
    const std::map<std::int64_t, Node>& nodes() const { return nodes_; }

    // All nodes merged from left to right.
    Cells total() const;

    // Removes the first node; returns its range.
    std::pair<std::int64_t, std::int64_t> take_first(Cells& cells);

private:
    std::map<std::int64_t, Node> nodes_;
};

// Trees of ranges of configs that fill one by one, in any order and from any thread, and become one in the end.
class ConfigParts {
public:
    explicit ConfigParts(std::int64_t parts) : trees_(std::size_t(parts)) {}
    void insert(std::int64_t part, std::int64_t start, std::int64_t stop, MomentTree::Cells cells);
    // One tree for all configs; takes the nodes out of the parts.
    MomentTree joined();

private:
    std::vector<MomentTree> trees_;
    std::mutex mutex_;
};

// Nodes that the tree of replicates [start, stop) has.
std::int64_t node_count(std::int64_t start, std::int64_t stop);

}  // namespace anneal_sgd
