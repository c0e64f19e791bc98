/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * balance: spreads a virtual address over backends. New flows go where the bucket table says; a
 * flow's second packet enters it into the connection table, and there it stays. Answers go from
 * the instance to the client directly.
 */
#include "cache.h"
#include "fallback.h"

#define FRESH_SHIFT 14
/* A first packet is remembered for 4.3 s, on one processor: a port that is used again later, with
 * its packets on another one, must not be led to where the connection before it went. */
#define FRESH_TIMES (4u << (30 - FRESH_SHIFT))
#define SEEN_SYN 1u
#define NS_PER_SECOND 1000000000ULL
#define BURST_SHARE 10
#define NO_BACKEND 0xFFFFFFFFu

/* Whether one more connection may be entered now: a token bucket for each processor. */
static __always_inline int within_budget(struct domain_state *state, __u64 now)
{
	__u32 slot = bpf_get_smp_processor_id();
	__u64 rate = state->insert_rate, most = rate / BURST_SHARE + 1, passed, tokens;
	struct budget *budget = budgets.lookup(&slot);

	if (!budget)
		return 0;
	passed = now - budget->at_ns;
	if (passed > NS_PER_SECOND)
		passed = NS_PER_SECOND;
	/* tokens are kept in billionths, so that none is lost to rounding */
	tokens = budget->tokens + passed * rate;
	if (tokens > most * NS_PER_SECOND)
		tokens = most * NS_PER_SECOND;
	budget->at_ns = now;
	if (tokens < NS_PER_SECOND) {
		budget->tokens = tokens;
		return 0;
	}
	budget->tokens = tokens - NS_PER_SECOND;
	return 1;
}

static __always_inline void tell(__u32 kind, struct flow_key *flow, struct connection *connection,
				 __u32 handshake_us)
{
	struct event *event = events.ringbuf_reserve(sizeof(*event));

	if (!event) {
		count(flow->engine, REASON_EVENT_LOST, 0);
		return;
	}
	event->kind = kind;
	event->engine = flow->engine;
	event->time_ns = connection->last_ns;
	event->flow = *flow;
	event->backend = connection->backend;
	event->sequence = handshake_us;
	event->packets = connection->packets;
	event->bytes = connection->bytes;
	events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

static __always_inline struct backend *usable_backend(__u32 number)
{
	struct backend *found = backends.lookup(&number);

	return found && found->active ? found : NULL;
}

/* What the bucket table says now: its first choice, or its second while the first is down. */
static __always_inline __u32 choose_backend(struct service *service, __u64 hash)
{
	__u32 slot = service->slot * BUCKETS + (hash & (BUCKETS - 1));
	__u64 *bucket = buckets.lookup(&slot);
	struct backend *first, *second;

	if (!bucket)
		return NO_BACKEND;
	first = usable_backend((__u32)*bucket);
	if (first && !is_down(first->c1 >> C1_ENGINE_SHIFT))
		return (__u32)*bucket;
	second = usable_backend(*bucket >> 32);
	if (second && !is_down(second->c1 >> C1_ENGINE_SHIFT))
		return *bucket >> 32;
	return first ? (__u32)*bucket : NO_BACKEND;
}

/* Enter a connection, when there is budget and room; without, the bucket table goes on serving. */
static __always_inline struct connection *enter(struct domain_state *state, struct flow_key *flow,
						__u32 backend, __u64 now, __u32 reason,
						__u32 handshake_us)
{
	struct connection new = {};
	struct connection *held;

	if (!within_budget(state, now)) {
		count(flow->engine, REASON_UNHELD, 0);
		return NULL;
	}
	new.opened_ns = now;
	new.last_ns = now;
	new.backend = backend;
	new.state = CONNECTION_OPEN;
	if (connections.insert(flow, &new)) {
		count(flow->engine, REASON_TABLE_FULL, 0);
		return NULL;
	}
	count(flow->engine, reason, 0);
	held = connections.lookup(flow);
	if (held)
		tell(EVENT_OPENED, flow, held, handshake_us);
	return held;
}

/* A packet of a flow that no table holds: its backend, and its connection where it is entered. */
static __always_inline __u32 first_packets(struct domain_state *state, struct service *service,
					   struct parsed *p, __u64 hash, __u64 now,
					   struct connection **held)
{
	__u32 cached = bpf_get_smp_processor_id(), backend = NO_BACKEND, chosen, reason;
	__u32 seen = (__u32)(now >> FRESH_SHIFT) & ~SEEN_SYN, handshake_us = 0;
	/* each engine has backends of its own: what one chose is nothing to another */
	__u64 name = hash ^ (__u64)p->flow.engine << 40;
	struct replica *replica = NULL;
	struct fresh *fresh = NULL;

	*held = NULL;
	reason = REASON_OPENED;
	if (state->flags & DOMAIN_REPLICAS) {
		replica = replicas.lookup(&p->flow);
		if (replica && usable_backend(replica->backend)) {
			backend = replica->backend;
			reason = REASON_PROMOTED;
		}
	}
	if (backend == NO_BACKEND) {
		if (cached < CACHE_CPUS) {
			cached = cached * FRESH + (name >> 32 & (FRESH - 1));
			fresh = fresh_flows.lookup(&cached);
		}
		chosen = choose_backend(service, hash);
		if (!fresh || fresh->hash != name ||
		    seen - (fresh->seen & ~SEEN_SYN) >= FRESH_TIMES ||
		    !usable_backend(fresh->backend)) {
			if (fresh && chosen != NO_BACKEND) {
				fresh->hash = name;
				fresh->backend = chosen;
				fresh->seen = seen | !!(p->tcp_flags & TCP_SYN);
			}
			return chosen;
		}
		backend = fresh->backend;
		/* of a SYN that was sent again, the last one counts */
		if (p->tcp_flags & TCP_SYN)
			fresh->seen = seen | SEEN_SYN;
		else if (fresh->seen & SEEN_SYN)
			handshake_us =
			    ((__u64)(seen - (fresh->seen & ~SEEN_SYN)) << FRESH_SHIFT) / 1000;
	}
	/* a second SYN is no second packet, and what is ending needs no entry */
	if (!(p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)))
		*held = enter(state, &p->flow, backend, now, reason, handshake_us);
	return backend;
}

/* An entered connection's packet: what it counts, and whether it begins anew or ends. */
static __always_inline void account(struct domain_state *state, struct service *service,
				    struct parsed *p, struct connection *held, __u64 hash,
				    __u64 bytes, __u64 now)
{
	__u32 backend;

	if (p->tcp_flags & TCP_SYN && held->state == CONNECTION_CLOSING) {
		backend = choose_backend(service, hash);
		held->opened_ns = now;
		held->packets = 0;
		held->bytes = 0;
		held->revision = 0;
		held->state = CONNECTION_OPEN;
		held->last_ns = now;
		if (backend != NO_BACKEND)
			held->backend = backend;
		count(p->flow.engine, REASON_OPENED, 0);
		tell(EVENT_OPENED, &p->flow, held, 0);
	}
	held->last_ns = now;
	held->packets += 1;
	held->bytes += bytes;
	if (p->tcp_flags & (TCP_FIN | TCP_RST) && held->state == CONNECTION_OPEN) {
		held->state = CONNECTION_CLOSING;
		count(p->flow.engine, REASON_CLOSED, 0);
		tell(EVENT_CLOSED, &p->flow, held, 0);
	}
	if (!usable_backend(held->backend)) {
		backend = choose_backend(service, hash);
		if (backend != NO_BACKEND) {
			held->backend = backend;
			held->revision = 0;
			count(p->flow.engine, REASON_REASSIGNED, 0);
		}
	}
}

/* An instance behind this very engine: no header is needed. */
static __always_inline int deliver_here(struct xdp_md *ctx, struct port_config *port,
					struct backend *backend, __u32 l2, __u8 family)
{
	struct instance_key who = {.engine = port->engine, .instance = backend->c1 & C1_PORT_MASK};
	struct neighbour *neighbour = instances.lookup(&who);
	struct ethhdr *eth = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct vlan_tag *vlan = (void *)(eth + 1);
	__u64 bytes = end - (void *)eth;

	if (!neighbour || (void *)(eth + 1) > end || !neighbour->vlan != (l2 == L2_PLAIN)) {
		count(port->engine, REASON_NO_NEIGHBOUR, bytes);
		return XDP_PASS;
	}
	if (l2 == L2_VLAN) {
		if ((void *)(vlan + 1) > end)
			return XDP_PASS;
		vlan->tci = neighbour->vlan;
	}
	decrement_ttl((void *)eth + l2, end, family);
	__builtin_memcpy(eth->h_dest, neighbour->mac, 6);
	__builtin_memcpy(eth->h_source, port->router_mac, 6);
	count(port->engine, REASON_DELIVERED, bytes);
	return tx_ports.redirect_map(neighbour->out_slot, 0);
}

static __always_inline int balance_packet(struct xdp_md *ctx, struct port_config *port)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u64 bytes = end - data, wire, hash, now, *pair, bucket = 0;
	__u32 zero = 0, l2, number, slot, circuit, epoch, c2, application, revision, class, rest;
	__be32 c1, c2_out, c3, tag;
	struct domain_state *state = domain.lookup(&zero);
	struct service_key service_key = {.engine = port->engine};
	struct connection *held;
	struct edge_circuit *edge;
	struct service *service;
	struct backend *backend;
	struct class_info *info;
	struct flow_entry *entry;
	struct flow_place place;
	struct parsed p = {};
	struct key_slot *key;
	__be16 proto;
	int result;

	if (!state || data + sizeof(struct ethhdr) > end)
		return XDP_PASS;
	/* before anything that it guards is read */
	revision = state->revision;
	proto = network_header(data, end, &l2);
	p.l2 = l2;
	if (proto == bpf_htons(STEERING_ETHERTYPE))
		return refuse(ctx, port, REASON_FOREIGN_NSH, l2);
	result = parse_network(data + l2, end, proto, &p);
	if (result != PARSED) {
		count(port->engine, result == PARSED_PLAIN ? REASON_PLAIN : REASON_TRUNCATED,
		      bytes);
		return XDP_PASS;
	}
	if (p.fragment) {
		count(port->engine, REASON_FRAGMENT, bytes);
		return XDP_PASS;
	}
	p.flow.engine = port->engine;
	wire = bytes - l2 + L2_PLAIN + STEERING_LEN;
	hash = flow_hash(state->hash_seed, &p.flow);
	place_of(&place, &p, hash);
	rest = flow_rest(&p);
	entry = cached_flow(&place, &p, rest);
	if (entry && entry->kind == ENTRY_CONNECTION && wire <= port->max_frame &&
	    entry_holds(entry, state, &p))
		return send_cached(ctx, port, entry, &p, wire);
	now = bpf_ktime_get_ns();
	if (entry) {
		flush(entry, now);
		/* whatever becomes of this packet, what was found before it is over */
		entry->revision = 0;
	}
	service_key.protocol = p.flow.protocol;
	service_key.family = p.flow.family;
	service_key.port = bpf_htons(bpf_ntohl(p.flow.ports) & 0xFFFF);
	__builtin_memcpy(service_key.address, p.flow.daddr, 16);
	service = services.lookup(&service_key);
	if (!service) {
		count(port->engine, REASON_NO_SERVICE, bytes);
		return XDP_PASS;
	}
	if (p.ttl <= 1) {
		count(port->engine, REASON_IP_TTL, bytes);
		return XDP_PASS;
	}
	slot = service->slot;
	add(demand_counters.lookup(&slot), wire);
	held = connections.lookup(&p.flow);
	if (held)
		number = held->backend;
	else
		number = first_packets(state, service, &p, hash, now, &held);
	if (held) {
		account(state, service, &p, held, hash, wire, now);
		number = held->backend;
	}
	backend = usable_backend(number);
	if (!backend) {
		count(port->engine, REASON_NO_BACKEND, bytes);
		return XDP_PASS;
	}
	if (backend->c1 >> C1_ENGINE_SHIFT == port->engine)
		return deliver_here(ctx, port, backend, l2, p.flow.family);
	slot = backend->slot * BUCKETS + (hash >> 8 & (BUCKETS - 1));
	pair = buckets.lookup(&slot);
	if (pair)
		bucket = *pair;
	edge = bucket_circuit(bucket, port->engine, &circuit);
	if (!edge) {
		count(port->engine, REASON_NO_CIRCUIT, bytes);
		return XDP_PASS;
	}
	if (wire > port->max_frame) {
		count(port->engine, REASON_TOO_LONG, bytes);
		return XDP_PASS;
	}
	c1 = bpf_htonl(backend->c1);
	c3 = bpf_htonl(state->c3);
	if (held && held->revision == revision && held->circuit == circuit && held->c3 == c3) {
		c2_out = held->c2;
		tag = held->tag;
	} else {
		epoch = bpf_ntohl(c3) >> C3_EPOCH_SHIFT;
		key = keys.lookup(&epoch);
		if (!key || !key->valid) {
			count(port->engine, REASON_NO_KEY, bytes);
			return XDP_PASS;
		}
		c2 = edge->c2 | C2_INSTANCE;
		class = service->class;
		info = class_table.lookup(&class);
		if (class && info)
			c2 = (c2 & ~(C2_PRIORITY_MASK | C2_APPLICATION_MASK)) |
			     (info->priority & 0xF) << C2_PRIORITY_SHIFT |
			     info->application << C2_APPLICATION_SHIFT;
		c2_out = bpf_htonl(c2);
		tag = own_tag(key, circuit, c1, c2_out, c3, &p.flow);
		if (held) {
			held->revision = revision;
			held->circuit = circuit;
			held->c2 = c2_out;
			held->c3 = c3;
			held->tag = tag;
		}
	}
	if (held && held->state == CONNECTION_OPEN && circuit == (__u32)bucket) {
		if (!entry)
			entry = claim(&place);
		if (entry) {
			name_flow(entry, &p, rest);
			entry->revision = revision;
			entry->circuit = circuit;
			entry->demand = service->slot;
			entry->si = edge->si;
			entry->c1 = c1;
			entry->c2 = c2_out;
			entry->c3 = c3;
			entry->tag = tag;
			entry->flushed = bpf_jiffies64();
			entry->kind = ENTRY_CONNECTION;
		}
	} else if (entry) {
		entry->kind = ENTRY_VIRTUAL;
		entry->revision = revision;
	}
	application = (bpf_ntohl(c2_out) & C2_APPLICATION_MASK) >> C2_APPLICATION_SHIFT;
	count_class(application, wire);
	count(port->engine, REASON_BALANCED, bytes);
	decrement_ttl(data + l2, end, p.flow.family);
	if (push(ctx, l2, p.flow.family, bpf_htonl(circuit << 8 | edge->si), c1, c2_out, c3, tag))
		return XDP_DROP;
	return tx_ports.redirect_map(port->out_slot, 0);
}

int balance(struct xdp_md *ctx)
{
	struct port_config *port = port_of(ctx);
	int watched, verdict;

	if (!port)
		return XDP_PASS;
	watched = sampled(ctx, port);
	verdict = balance_packet(ctx, port);
	return watched ? finish_sample(ctx, port, verdict) : verdict;
}
