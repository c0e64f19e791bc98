/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* The maps that the agent fills and the programs read. dataplane/maps.py holds the same layouts. */
#ifndef FORESTEER_MAPS_H
#define FORESTEER_MAPS_H

#include "reasons.h"

#define MAX_ENGINES 256
#define MAX_CIRCUITS 16384
#define MAX_HOPS 4
#define MAX_DEMANDS 1024
#define BUCKETS 256

/* What to do with a popped packet that no route of the kernel's takes. */
enum fallback {
	FALLBACK_PASS,
	FALLBACK_RETURN,
};

/* One port of an engine, by the ifindex that packets come in at. */
struct port_config {
	__u32 engine;
	__u32 out_slot;
	__u32 max_frame;
	__u32 fallback;
	__u8 router_mac[6];
	__u8 unused[2];
};

/* Longest prefix match on the destination, separately for each engine. */
struct prefix_key {
	__u32 prefixlen;
	__u32 engine;
	__be32 address;
};

/* A circuit as the edge that marks sees it. */
struct edge_circuit {
	__u32 active;
	__u32 engine;
	__u32 c1;
	__u32 c2;
	__u8 si;
	__u8 unused[3];
};

enum hop_action {
	HOP_NONE,
	HOP_DELIVER,
	HOP_FORWARD,
};

/* A circuit as the engine that receives it sees it, at one service index. */
struct hop {
	__u32 action;
	__u32 engine;
	__u32 out_slot;
	__u8 dst_mac[6];
	__u8 src_mac[6];
};

struct key_slot {
	__u64 k0;
	__u64 k1;
	__u32 valid;
	__u32 unused;
};

struct domain_state {
	__u32 epoch;
	__u32 forecast;
};

struct neighbour_key {
	__u32 engine;
	__be32 address;
};

struct neighbour {
	__u8 mac[6];
	__u8 unused[2];
	__u32 out_slot;
};

struct counter {
	__u64 packets;
	__u64 bytes;
};

BPF_HASH(ports, __u32, struct port_config, 1024);
BPF_LPM_TRIE(prefixes, struct prefix_key, __u32, 16384);
/* The large arrays are mapped into the agent: compared and changed without system calls. */
BPF_F_TABLE("array", __u32, __u32, buckets, MAX_DEMANDS *BUCKETS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct edge_circuit, edge_circuits, MAX_CIRCUITS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct hop, hops, MAX_CIRCUITS *MAX_HOPS, BPF_F_MMAPABLE);
BPF_ARRAY(keys, struct key_slot, 256);
BPF_ARRAY(domain, struct domain_state, 1);
BPF_HASH(neighbours, struct neighbour_key, struct neighbour, 16384);
BPF_DEVMAP(tx_ports, 1024);
BPF_PERCPU_ARRAY(demand_counters, struct counter, MAX_DEMANDS);
BPF_PERCPU_ARRAY(circuit_counters, struct counter, MAX_CIRCUITS);
BPF_PERCPU_ARRAY(reason_counters, struct counter, MAX_ENGINES *REASON_SLOTS);

static __always_inline void add(struct counter *counter, __u64 bytes)
{
	if (counter) {
		counter->packets += 1;
		counter->bytes += bytes;
	}
}

static __always_inline void count(__u32 engine, __u32 reason, __u64 bytes)
{
	__u32 slot = (engine & (MAX_ENGINES - 1)) * REASON_SLOTS + reason;

	add(reason_counters.lookup(&slot), bytes);
}

#endif
