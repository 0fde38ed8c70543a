#include "moment_tree.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <tuple>

#include "../cpu/floating_point.hpp"

namespace anneal_sgd {
namespace {

bool full_block(std::int64_t start, std::int64_t stop) {
    return start % block_replicates == 0 && (stop - start) % block_replicates == 0;
}

// Whether two adjacent ranges form one node: siblings of the tree, or pieces of one block.
bool belong_together(std::int64_t start, std::int64_t middle, std::int64_t stop) {
    if (full_block(start, middle) && full_block(middle, stop)) {
        const std::int64_t size = middle - start;
        return stop - middle == size && start % (2 * size) == 0;
    }
    return start / block_replicates == (stop - 1) / block_replicates;
}

void merge_into(MomentTree::Cells& left, const MomentTree::Cells& right) {
    for (std::size_t i = 0; i < left.size(); ++i) left[i] = merge(left[i], right[i]);
}

}  // namespace

void MomentTree::insert(std::int64_t start, std::int64_t stop, Cells cells) {
    const DefaultFloatingPoint guard;
    auto next = nodes_.lower_bound(start);
    const bool overlaps_next = next != nodes_.end() && next->first < stop;
    const bool overlaps_previous = next != nodes_.begin() && std::prev(next)->second.stop > start;
    if (overlaps_next || overlaps_previous) {
        const auto& other = overlaps_next ? *next : *std::prev(next);
        throw std::invalid_argument("replicates: [" + std::to_string(start) + ", " + std::to_string(stop) +
                                    ") overlaps [" + std::to_string(other.first) + ", " +
                                    std::to_string(other.second.stop) +
                                    "), which is already there; ranges to merge must be disjoint");
    }
    auto node = nodes_.emplace_hint(next, start, Node{stop, std::move(cells)});
    for (bool merged = true; merged;) {
        merged = false;
        if (node != nodes_.begin()) {
            const auto left = std::prev(node);
            if (left->second.stop == node->first && belong_together(left->first, node->first, node->second.stop)) {
                merge_into(left->second.cells, node->second.cells);
                left->second.stop = node->second.stop;
                nodes_.erase(node);
                node = left;
                merged = true;
            }
        }
        const auto right = std::next(node);
        if (right != nodes_.end() && node->second.stop == right->first &&
            belong_together(node->first, right->first, right->second.stop)) {
            merge_into(node->second.cells, right->second.cells);
            node->second.stop = right->second.stop;
            nodes_.erase(right);
            merged = true;
        }
    }
}

MomentTree::Cells MomentTree::total() const {
    const DefaultFloatingPoint guard;
    Cells cells;
    for (const auto& [start, node] : nodes_) {
        if (cells.empty())
            cells = node.cells;
        else
            merge_into(cells, node.cells);
    }
    return cells;
}

std::pair<std::int64_t, std::int64_t> MomentTree::take_first(Cells& cells) {
    const auto first = nodes_.begin();
    const std::pair<std::int64_t, std::int64_t> range{first->first, first->second.stop};
    cells = std::move(first->second.cells);
    nodes_.erase(first);
    return range;
}

void ConfigParts::insert(std::int64_t part, std::int64_t start, std::int64_t stop, MomentTree::Cells cells) {
    const std::lock_guard<std::mutex> lock(mutex_);
    trees_[std::size_t(part)].insert(start, stop, std::move(cells));
}

MomentTree ConfigParts::joined() {
    if (trees_.size() == 1) return std::move(trees_.front());
    const DefaultFloatingPoint guard;
    MomentTree all;
    while (!trees_.front().nodes().empty()) {
        MomentTree::Cells cells;
        std::size_t size = 0;
        for (const MomentTree& tree : trees_) size += tree.nodes().begin()->second.cells.size();
        cells.reserve(size);
        std::int64_t start = 0, stop = 0;
        for (MomentTree& tree : trees_) {
            MomentTree::Cells part;
            std::tie(start, stop) = tree.take_first(part);
            cells.insert(cells.end(), part.begin(), part.end());
        }
        all.insert(start, stop, std::move(cells));
    }
    return all;
}

std::int64_t node_count(std::int64_t start, std::int64_t stop) {
    std::int64_t nodes = 0;
    while (start < stop) {
        std::int64_t size = block_replicates;
        if (!full_block(start, std::min(stop, start + size)))
            size -= start % block_replicates;  // to the end of the block, or of the range
        else
            while (start % (2 * size) == 0 && start + 2 * size <= stop) size *= 2;
        start += size;
        ++nodes;
    }
    return nodes;
}

}  // namespace anneal_sgd
