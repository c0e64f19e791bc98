/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* The maps that the agent fills and the programs read. dataplane/maps.py holds the same layouts. */
#ifndef FORESTEER_MAPS_H
#define FORESTEER_MAPS_H

#include "reasons.h"
#include "siphash.h"

/* Changed whenever a map's meaning changes while its size stays. */
#define LAYOUT 6

#define MAX_PORTS 65536
#define MAX_ENGINES 256
#define MAX_CIRCUITS 16384
#define MAX_HOPS 4
#define MAX_DEMANDS 1024
#define MAX_BACKENDS 4096
#define MAX_CLASSES 256
#define BUCKETS 256
#ifndef MAX_CONNECTIONS
#define MAX_CONNECTIONS 131072
#endif
#ifndef EVENT_PAGES
#define EVENT_PAGES 256
#endif
#ifndef CACHE_CPUS
#define CACHE_CPUS 2
#endif
#define FLOW_SETS 32768
#define TAG_SETS 32768
#define TAG_STARTS 1024
#define FRESH 65536
#define SAMPLE_BYTES 256

/* What becomes of a popped packet that no route of the kernel's takes. */
enum fallback {
	FALLBACK_PASS,
	FALLBACK_RETURN,
	FALLBACK_DROP,
};

/* One port of an engine, by the ifindex that packets come in at. Engine 0: none of ours. */
struct port_config {
	__u32 engine;
	__u32 out_slot;
	__u32 max_frame;
	__u32 fallback;
	__u8 router_mac[6];
	__u16 customer;
	__u32 sample;
};

/*
 * What all programs share. Each word is changed in one store, and revision after any change of any
 * table: everything that the programs remember rests on it.
 */
struct domain_state {
	__u64 hash_seed;
	__u32 c3;
	__u32 revision;
	__u32 insert_rate;
	__u32 flags;
	__u32 lengths;
	__u32 unused;
};

/*
 * The lengths of all IPv4 prefixes, each plus one, the longest in the lowest byte; 0 ends them. So
 * few lengths are looked up one by one, faster than the trie, which serves when there are more.
 */
#define LENGTHS_MANY 0xFFFFFFFFu
#define LENGTHS_MOST 4

#define DOMAIN_RULES 1
#define DOMAIN_REPLICAS 2
#define DOMAIN_PORT_CLASSES 4
#define DOMAIN_DSCP_CLASSES 8

/* Longest prefix match on the destination, separately for each engine. */
struct prefix_key {
	__u32 prefixlen;
	__be32 engine;
	__be32 address;
};

/* The same prefix, for one length at a time. */
struct length_key {
	__be32 engine;
	__be32 address;
	__u32 length;
};

struct prefix6_key {
	__u32 prefixlen;
	__be32 engine;
	__be32 address[4];
};

/* A prefix's value: the demand's slot and what else must be looked at. */
#define DEMAND_SLOT 0xFFFFFFu
#define DEMAND_VIRTUAL 0x80000000u
#define DEMAND_CLASSES 0x40000000u
#define DEMAND_MORE 0x20000000u /* for the agent: the bucket table is another prefix' own */

struct class_demand_key {
	__u32 demand;
	__u32 class;
};

struct class_info {
	__u16 application;
	__u16 priority;
};

/* A flow, and so a connection as its client's side sees it. IPv4 uses the first word. */
struct flow_key {
	__be32 saddr[4];
	__be32 daddr[4];
	__be32 ports;
	__u8 protocol;
	__u8 family;
	__u16 engine;
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

/* A 16-byte key; serial differs for every key that was ever written here. */
struct key_slot {
	__u64 k0;
	__u64 k1;
	__u32 valid;
	__u32 serial;
};

struct customer_key {
	__u32 customer;
	__u32 epoch;
};

struct grant_key {
	__u32 customer;
	__u32 circuit;
};

struct grant {
	__u32 circuit;
	__u32 max_priority;
};

struct neighbour_key {
	__u32 engine;
	__u32 family;
	__be32 address[4];
};

struct instance_key {
	__u32 engine;
	__u32 instance;
};

struct neighbour {
	__u8 mac[6];
	__be16 vlan;
	__u32 out_slot;
};

/* A virtual address's port: which bucket table spreads it. */
struct service_key {
	__u32 engine;
	__be16 port;
	__u8 protocol;
	__u8 family;
	__be32 address[4];
};

struct service {
	__u32 slot;
	__u32 class;
};

/* Where a service's connections may go: the bucket table of its circuits, and C1. */
struct backend {
	__u32 active;
	__u32 slot;
	__u32 c1;
	__u32 unused;
};

enum connection_state {
	CONNECTION_OPEN = 1,
	CONNECTION_CLOSING,
};

/* A connection that stays with its backend. The last five words are the header made for it. */
struct connection {
	__u64 last_ns;
	__u64 opened_ns;
	__u64 packets;
	__u64 bytes;
	__u32 backend;
	__u32 state;
	__u32 revision;
	__u32 circuit;
	__be32 c2;
	__be32 c3;
	__be32 tag;
	__u32 unused;
};

struct replica {
	__u32 backend;
	__u32 primary;
};

/*
 * A flow's first packet: what was chosen, by a hash that nobody outside can aim at. "seen" is when,
 * in units of 2^14 ns; its lowest bit says whether it was a SYN, and so may begin a handshake.
 */
struct fresh {
	__u64 hash;
	__u32 backend;
	__u32 seen;
};

struct budget {
	__u64 at_ns;
	__u64 tokens;
};

enum entry_kind {
	ENTRY_MARKED,
	ENTRY_CONNECTION,
	ENTRY_VIRTUAL,
};

/*
 * What was found for a flow; holds as long as the revision is the same. Of a connection, packets
 * and bytes are those that its table does not know of yet.
 */
struct flow_entry {
	__be32 saddr;
	__be32 daddr;
	__be32 ports;
	__u32 rest;
	__u32 revision;
	__u32 circuit;
	__u32 unused;
	__u16 demand;
	__u8 si;
	__u8 unused_too;
	__be32 c1;
	__be32 c2;
	__be32 c3;
	__be32 tag;
	__u32 packets;
	__u32 bytes;
	__u32 flushed;
	__u32 kind;
};

/* Two flows share a place: the newer stands first. */
struct flow_set {
	struct flow_entry entries[2];
};

/* 32 bits of the hashes of a set's flows: small enough to stay near the processor. */
struct flow_names {
	__u32 names[2];
};

/* SipHash after the words that all packets of a circuit share. */
struct tag_start {
	__u32 serial;
	__u32 circuit;
	__be32 c1;
	__be32 c2;
	__be32 c3;
	__u32 unused;
	struct sip state;
	__u64 unused_too;
};

/* A header whose tag was computed and found right: equal input needs no second computation. */
struct tag_entry {
	__be32 tag;
	__u32 serial;
	__u32 circuit;
	__be32 c1;
	__be32 c2;
	__be32 c3;
	__be32 saddr;
	__be32 daddr;
};

struct tag_set {
	struct tag_entry entries[2];
};

struct counter {
	__u64 packets;
	__u64 bytes;
};

enum event_kind {
	EVENT_OPENED = 1,
	EVENT_CLOSED,
	EVENT_ECHO,
};

struct event {
	__u32 kind;
	__u32 engine;
	__u64 time_ns;
	struct flow_key flow;
	__u32 backend;
	__u32 sequence;
	__u64 packets;
	__u64 bytes;
};

/* A frame as it came in or as it leaves, for a person to look at. */
struct sample {
	__u64 time_ns;
	__u32 ifindex;
	__u32 length;
	__u32 verdict;
	__u32 captured;
	__u8 frame[SAMPLE_BYTES];
};

#define SAMPLE_CAME_IN 0xFFFFFFFFu

BPF_F_TABLE("array", __u32, struct port_config, ports, MAX_PORTS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct domain_state, domain, 1, BPF_F_MMAPABLE);
BPF_LPM_TRIE(prefixes, struct prefix_key, __u32, 16384);
BPF_HASH(prefixes_by_length, struct length_key, __u32, 16384);
BPF_LPM_TRIE(prefixes6, struct prefix6_key, __u32, 16384);
BPF_HASH(classes, __u32, __u32, 1024);
BPF_HASH(rules, struct flow_key, __u32, 16384);
BPF_F_TABLE("array", __u32, struct class_info, class_table, MAX_CLASSES, BPF_F_MMAPABLE);
BPF_HASH(class_demands, struct class_demand_key, __u32, 4096);
/* The large arrays are mapped into the agent: compared and changed without system calls. */
BPF_F_TABLE("array", __u32, __u64, buckets, MAX_DEMANDS *BUCKETS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct edge_circuit, edge_circuits, MAX_CIRCUITS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct hop, hops, MAX_CIRCUITS *MAX_HOPS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, __u32, down, MAX_ENGINES, BPF_F_MMAPABLE);
BPF_ARRAY(keys, struct key_slot, 256);
BPF_HASH(customers, struct customer_key, struct key_slot, 1024);
BPF_HASH(grants, struct grant_key, struct grant, 4096);
BPF_HASH(neighbours, struct neighbour_key, struct neighbour, 16384);
BPF_HASH(instances, struct instance_key, struct neighbour, 4096);
BPF_HASH(services, struct service_key, struct service, 1024);
BPF_F_TABLE("array", __u32, struct backend, backends, MAX_BACKENDS, BPF_F_MMAPABLE);
BPF_HASH(connections, struct flow_key, struct connection, MAX_CONNECTIONS);
BPF_HASH(replicas, struct flow_key, struct replica, MAX_CONNECTIONS);
BPF_F_TABLE("array", __u32, struct fresh, fresh_flows, FRESH *CACHE_CPUS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct budget, budgets, CACHE_CPUS, BPF_F_MMAPABLE);
/* mmapable for their alignment: an entry lies in one cache line. */
BPF_F_TABLE("array", __u32, struct flow_set, flow_cache, FLOW_SETS *CACHE_CPUS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct flow_names, flow_names, FLOW_SETS *CACHE_CPUS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct tag_set, tag_cache, TAG_SETS *CACHE_CPUS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct tag_start, tag_starts, TAG_STARTS *CACHE_CPUS, BPF_F_MMAPABLE);
BPF_DEVMAP(tx_ports, 1024);
BPF_PROG_ARRAY(programs, 4);
BPF_PERCPU_ARRAY(demand_counters, struct counter, MAX_DEMANDS);
BPF_PERCPU_ARRAY(circuit_counters, struct counter, MAX_CIRCUITS);
BPF_PERCPU_ARRAY(class_counters, struct counter, MAX_CLASSES);
BPF_PERCPU_ARRAY(reason_counters, struct counter, MAX_ENGINES *REASON_SLOTS);
BPF_RINGBUF_OUTPUT(events, EVENT_PAGES);
BPF_RINGBUF_OUTPUT(samples, 256);

#define PROGRAM_BALANCE 0

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

static __always_inline void count_class(__u32 application, __u64 bytes)
{
	__u32 slot = application < MAX_CLASSES ? application : MAX_CLASSES - 1;

	add(class_counters.lookup(&slot), bytes);
}

#endif
