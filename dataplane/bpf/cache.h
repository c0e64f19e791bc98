/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * What an edge found for a flow before, kept per processor: a packet of a known flow needs no
 * tables at all. IPv4 only; what is found here is what the tables would say.
 */
#ifndef FORESTEER_CACHE_H
#define FORESTEER_CACHE_H

#include "circuit.h"

#define FLOW_REST_TOS 0xFF00u
/* A connection's packets reach its table after so many ticks of the kernel's clock at most. */
#define FLUSH_JIFFIES 100

/* A flow's place in the cache; names is NULL where this packet has none. */
struct flow_place {
	struct flow_names *names;
	__u32 slot;
	__u32 name;
};

static __always_inline void place_of(struct flow_place *place, struct parsed *p, __u64 hash)
{
	__u32 slot = bpf_get_smp_processor_id();

	place->names = NULL;
	if (p->flow.family != FAMILY_4 || slot >= CACHE_CPUS)
		return;
	place->slot = slot * FLOW_SETS + (hash >> 32 & (FLOW_SETS - 1));
	place->name = (__u32)hash | 1;
	place->names = flow_names.lookup(&place->slot);
}

/* What else of a packet an entry is about: protocol, TOS and the engine that it came in at. */
static __always_inline __u32 flow_rest(struct parsed *p)
{
	return p->flow.protocol | p->tos << 8 | (__u32)p->flow.engine << 16;
}

/* Whether an entry is this packet's. A connection is one, whatever TOS its packets have. */
static __always_inline int is_entry_of(struct flow_entry *entry, struct parsed *p, __u32 rest)
{
	__u32 other = entry->rest ^ rest;

	return entry->saddr == p->flow.saddr[0] && entry->daddr == p->flow.daddr[0] &&
	       entry->ports == p->flow.ports &&
	       !(entry->kind == ENTRY_MARKED ? other : other & ~FLOW_REST_TOS);
}

/* The flow's entry, of whatever revision. Entries are looked at only where a name is right. */
static __always_inline struct flow_entry *cached_flow(struct flow_place *place, struct parsed *p,
						      __u32 rest)
{
	struct flow_set *set;

	if (!place->names ||
	    (place->names->names[0] != place->name && place->names->names[1] != place->name))
		return NULL;
	set = flow_cache.lookup(&place->slot);
	if (!set)
		return NULL;
	if (is_entry_of(&set->entries[0], p, rest))
		return &set->entries[0];
	if (is_entry_of(&set->entries[1], p, rest))
		return &set->entries[1];
	return NULL;
}

/* Tell the connection table of packets that went by it. */
static __always_inline void flush(struct flow_entry *entry, __u64 now)
{
	struct flow_key key = {};
	struct connection *held;

	if (!entry->packets)
		return;
	key.saddr[0] = entry->saddr;
	key.daddr[0] = entry->daddr;
	key.ports = entry->ports;
	key.protocol = entry->rest;
	key.family = FAMILY_4;
	key.engine = entry->rest >> 16;
	held = connections.lookup(&key);
	if (held) {
		held->packets += entry->packets;
		held->bytes += entry->bytes;
		held->last_ns = now;
	}
	entry->packets = 0;
	entry->bytes = 0;
}

/* Room for a flow that is not there: the newer of the two gives way to it, the older goes. */
static __always_inline struct flow_entry *claim(struct flow_place *place)
{
	struct flow_set *set;

	if (!place->names)
		return NULL;
	set = flow_cache.lookup(&place->slot);
	if (!set)
		return NULL;
	if (set->entries[1].packets)
		flush(&set->entries[1], bpf_ktime_get_ns());
	set->entries[1] = set->entries[0];
	place->names->names[1] = place->names->names[0];
	place->names->names[0] = place->name;
	__builtin_memset(&set->entries[0], 0, sizeof(struct flow_entry));
	return &set->entries[0];
}

static __always_inline void name_flow(struct flow_entry *entry, struct parsed *p, __u32 rest)
{
	entry->saddr = p->flow.saddr[0];
	entry->daddr = p->flow.daddr[0];
	entry->ports = p->flow.ports;
	entry->rest = rest;
}

/*
 * Whether an entry still says what the tables would: whoever changes a table changes the revision
 * after that. A connection's packets that mean something to its table go there.
 */
static __always_inline int entry_holds(struct flow_entry *entry, struct domain_state *state,
				       struct parsed *p)
{
	if (entry->revision != state->revision || entry->kind == ENTRY_VIRTUAL || p->ttl <= 1)
		return 0;
	return entry->kind == ENTRY_MARKED ||
	       (!(p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)) &&
		(__u32)bpf_jiffies64() - entry->flushed <= FLUSH_JIFFIES);
}

/* Send a packet as its flow's packets before it were sent. */
static __always_inline int send_cached(struct xdp_md *ctx, struct port_config *port,
				       struct flow_entry *entry, struct parsed *p, __u64 wire)
{
	void *end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	__u32 slot = entry->demand;

	add(demand_counters.lookup(&slot), wire);
	count_class((bpf_ntohl(entry->c2) & C2_APPLICATION_MASK) >> C2_APPLICATION_SHIFT, wire);
	if (entry->kind == ENTRY_CONNECTION) {
		entry->packets += 1;
		entry->bytes += wire;
		count(port->engine, REASON_BALANCED, end - data);
	} else {
		count(port->engine, REASON_MARKED, end - data);
	}
	decrement_ttl(data + l2_of(p), end, FAMILY_4);
	if (push(ctx, l2_of(p), FAMILY_4, bpf_htonl(entry->circuit << 8 | entry->si), entry->c1,
		 entry->c2, entry->c3, entry->tag))
		return XDP_DROP;
	return tx_ports.redirect_map(port->out_slot, 0);
}

#endif
