/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* mark: at an edge's host-facing port, puts packets of known demands on their circuits. */
#include "cache.h"
#include "fallback.h"

#define CLASS_BY_DESTINATION_PORT 0
#define CLASS_BY_SOURCE_PORT (1u << 24)
#define CLASS_BY_DSCP (2u << 24)

/* The application class of a packet: by its flow, its ports, its DSCP; 0 where none is named. */
static __always_inline __u32 classify(struct parsed *p, struct domain_state *state)
{
	__u32 key, *found;

	if (state->flags & DOMAIN_RULES) {
		found = rules.lookup(&p->flow);
		if (found)
			return *found;
	}
	if (state->flags & DOMAIN_PORT_CLASSES && p->flow.ports) {
		key = CLASS_BY_DESTINATION_PORT | p->flow.protocol << 16 |
		      (bpf_ntohl(p->flow.ports) & 0xFFFF);
		found = classes.lookup(&key);
		if (found)
			return *found;
		key =
		    CLASS_BY_SOURCE_PORT | p->flow.protocol << 16 | bpf_ntohl(p->flow.ports) >> 16;
		found = classes.lookup(&key);
		if (found)
			return *found;
	}
	if (!(state->flags & DOMAIN_DSCP_CLASSES))
		return 0;
	key = CLASS_BY_DSCP | p->tos >> 2;
	found = classes.lookup(&key);
	return found ? *found : 0;
}

/* What prefixes say of an IPv4 destination, the longest first. */
static __always_inline __u32 *find_demand4(__be32 address, __u32 engine, __u32 lengths)
{
	struct prefix_key prefix = {
	    .prefixlen = 64, .engine = bpf_htonl(engine), .address = address};
	struct length_key key = {.engine = bpf_htonl(engine)};
	__u32 bits, *found;

	if (lengths == LENGTHS_MANY)
		return prefixes.lookup(&prefix);
#pragma unroll
	for (int i = 0; i < LENGTHS_MOST; i++) {
		bits = lengths >> (8 * i) & 0xFF;
		if (!bits)
			return NULL;
		key.length = bits - 1;
		/* in 64 bits, so that a shift by 32 leaves nothing */
		key.address = address & bpf_htonl((__u32)(0xFFFFFFFFULL << (33 - bits)));
		found = prefixes_by_length.lookup(&key);
		if (found)
			return found;
	}
	return NULL;
}

/* What prefixes say of the destination. */
static __always_inline __u32 *find_demand(struct parsed *p, __u32 engine, __u32 lengths)
{
	struct prefix6_key prefix6 = {};

	if (p->flow.family == FAMILY_4)
		return find_demand4(p->flow.daddr[0], engine, lengths);
	prefix6.prefixlen = 160;
	prefix6.engine = bpf_htonl(engine);
	__builtin_memcpy(prefix6.address, p->flow.daddr, 16);
	return prefixes6.lookup(&prefix6);
}

/* A customer's own header: verified with its key, then put on a circuit that it may use. */
static __always_inline int remark(struct xdp_md *ctx, struct port_config *port,
				  struct domain_state *state, __u32 l2)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct steering_header *nsh = data + l2;
	struct customer_key who = {.customer = port->customer};
	struct grant_key what = {.customer = port->customer};
	struct edge_circuit *circuit;
	struct key_slot *key;
	struct parsed p = {};
	struct grant *grant;
	__u32 c2, priority, epoch, application, reason;
	__u16 flags;
	__be16 proto;

	if (l2 != L2_PLAIN || (void *)(nsh + 1) > end) {
		reason = REASON_MALFORMED;
		goto refused;
	}
	flags = bpf_ntohs(nsh->flags);
	proto = nsh->next_protocol == NSH_NEXT_IPV4   ? bpf_htons(ETH_P_IP)
		: nsh->next_protocol == NSH_NEXT_IPV6 ? bpf_htons(ETH_P_IPV6)
						      : 0;
	if ((flags & (NSH_VERSION_MASK | NSH_OAM)) ||
	    (flags & NSH_LENGTH_MASK) != NSH_LENGTH_WORDS ||
	    (nsh->md_type & 0xF) != NSH_MD_TYPE_1 ||
	    parse_network(nsh + 1, end, proto, &p) != PARSED) {
		reason = REASON_MALFORMED;
		goto refused;
	}
	c2 = bpf_ntohl(nsh->c2);
	if (c2 >> C2_VERSION_SHIFT != STEERING_VERSION) {
		reason = REASON_VERSION;
		goto refused;
	}
	if (!(flags & NSH_TTL_MASK)) {
		reason = REASON_NSH_TTL;
		goto refused;
	}
	what.circuit = bpf_ntohl(nsh->spi_si) >> 8 & SPI_CIRCUIT_MASK;
	who.epoch = bpf_ntohl(nsh->c3) >> C3_EPOCH_SHIFT;
	key = customers.lookup(&who);
	if (!key || !key->valid) {
		reason = REASON_EPOCH;
		goto refused;
	}
	if (nsh->c4 != steering_tag(key, what.circuit, nsh->c1, nsh->c2, nsh->c3, &p.flow)) {
		reason = REASON_TAG;
		goto refused;
	}
	grant = grants.lookup(&what);
	if (!grant) {
		reason = REASON_NOT_GRANTED;
		goto refused;
	}
	circuit = usable_circuit(grant->circuit, port->engine);
	if (!circuit) {
		reason = REASON_NO_CIRCUIT;
		goto refused;
	}
	if ((__u64)(end - data) > port->max_frame) {
		reason = REASON_TOO_LONG;
		goto refused;
	}
	epoch = state->c3 >> C3_EPOCH_SHIFT & 0xFF;
	key = keys.lookup(&epoch);
	if (!key || !key->valid) {
		reason = REASON_NO_KEY;
		goto refused;
	}
	priority = c2 >> C2_PRIORITY_SHIFT & 0xF;
	if (priority > grant->max_priority)
		priority = grant->max_priority;
	application = c2 & C2_APPLICATION_MASK;
	c2 = (circuit->c2 & ~(C2_PRIORITY_MASK | C2_APPLICATION_MASK)) |
	     (priority & 0xF) << C2_PRIORITY_SHIFT | application;
	nsh->flags = bpf_htons(STEERING_TTL << NSH_TTL_SHIFT | NSH_LENGTH_WORDS);
	nsh->md_type = NSH_MD_TYPE_1;
	nsh->spi_si = bpf_htonl(grant->circuit << 8 | circuit->si);
	nsh->c1 = bpf_htonl(circuit->c1);
	nsh->c2 = bpf_htonl(c2);
	nsh->c3 = bpf_htonl(state->c3);
	nsh->c4 = steering_tag(key, grant->circuit, nsh->c1, nsh->c2, nsh->c3, &p.flow);
	count_class(application >> C2_APPLICATION_SHIFT, end - data);
	count(port->engine, REASON_MARKED, end - data);
	return tx_ports.redirect_map(port->out_slot, 0);
refused:
	return refuse(ctx, port, reason, l2);
}

/* A packet of a flow that the cache does not know: ask the tables, and keep what they say. */
static __always_inline int mark_by_tables(struct xdp_md *ctx, struct port_config *port,
					  struct domain_state *state, struct parsed *p, __u64 hash,
					  struct flow_place *place, struct flow_entry *entry)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u64 bytes = end - data, wire = bytes - l2_of(p) + L2_PLAIN + STEERING_LEN, bucket = 0,
	      *pair;
	__u32 slot, index, circuit, epoch, class, application, reason, revision, *demand, c2;
	__u32 rest = flow_rest(p);
	struct class_demand_key split = {};
	__be32 c1, c2_out, c3, tag;
	struct edge_circuit *edge;
	struct class_info *info;
	struct key_slot *key;

	revision = state->revision;
	demand = find_demand(p, port->engine, state->lengths);
	if (!demand) {
		reason = REASON_NO_DEMAND;
		goto unmarked;
	}
	if (*demand & DEMAND_VIRTUAL) {
		if (!entry)
			entry = claim(place);
		if (entry) {
			name_flow(entry, p, rest);
			entry->revision = revision;
			entry->kind = ENTRY_VIRTUAL;
		}
		programs.call(ctx, PROGRAM_BALANCE);
		return XDP_PASS;
	}
	class = classify(p, state);
	slot = *demand & DEMAND_SLOT;
	if (class && *demand & DEMAND_CLASSES) {
		split.demand = slot;
		split.class = class;
		demand = class_demands.lookup(&split);
		if (demand)
			slot = *demand;
	}
	add(demand_counters.lookup(&slot), wire);
	index = slot * BUCKETS + (hash & (BUCKETS - 1));
	pair = buckets.lookup(&index);
	if (pair)
		bucket = *pair;
	if (!bucket) {
		reason = REASON_UNSTEERED;
		goto unmarked;
	}
	edge = bucket_circuit(bucket, port->engine, &circuit);
	if (!edge) {
		reason = REASON_NO_CIRCUIT;
		goto unmarked;
	}
	if (p->ttl <= 1) {
		reason = REASON_IP_TTL;
		goto unmarked;
	}
	if (wire > port->max_frame) {
		reason = REASON_TOO_LONG;
		goto unmarked;
	}
	c3 = bpf_htonl(state->c3);
	epoch = bpf_ntohl(c3) >> C3_EPOCH_SHIFT;
	key = keys.lookup(&epoch);
	if (!key || !key->valid) {
		reason = REASON_NO_KEY;
		goto unmarked;
	}
	c2 = edge->c2;
	if (class) {
		info = class_table.lookup(&class);
		if (info)
			c2 = (c2 & ~(C2_PRIORITY_MASK | C2_APPLICATION_MASK)) |
			     (info->priority & 0xF) << C2_PRIORITY_SHIFT |
			     info->application << C2_APPLICATION_SHIFT;
	}
	application = (c2 & C2_APPLICATION_MASK) >> C2_APPLICATION_SHIFT;
	c1 = bpf_htonl(edge->c1);
	c2_out = bpf_htonl(c2);
	tag = own_tag(key, circuit, c1, c2_out, c3, &p->flow);
	/* not while on a backup, of which every packet is counted */
	if (circuit != (__u32)bucket)
		entry = NULL;
	else if (!entry && may_keep())
		entry = claim(place);
	if (entry) {
		name_flow(entry, p, rest);
		entry->revision = revision;
		entry->circuit = circuit;
		entry->demand = slot;
		entry->si = edge->si;
		entry->c1 = c1;
		entry->c2 = c2_out;
		entry->c3 = c3;
		entry->tag = tag;
		entry->kind = ENTRY_MARKED;
	}
	count_class(application, wire);
	count(port->engine, REASON_MARKED, bytes);
	decrement_ttl(data + l2_of(p), end, p->flow.family);
	if (push(ctx, l2_of(p), p->flow.family, bpf_htonl(circuit << 8 | edge->si), c1, c2_out, c3,
		 tag))
		return XDP_DROP;
	return tx_ports.redirect_map(port->out_slot, 0);
unmarked:
	count(port->engine, reason, bytes);
	return XDP_PASS;
}

static __always_inline int mark_packet(struct xdp_md *ctx, struct port_config *port)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u64 bytes = end - data, wire, hash;
	__u32 zero = 0;
	struct domain_state *state = domain.lookup(&zero);
	struct flow_entry *entry;
	struct parsed p = {};
	struct flow_place place;
	__be16 proto;
	int result;

	if (!state || data + sizeof(struct ethhdr) > end)
		return XDP_PASS;
	proto = network_header(data, end, &p.l2);
	if (proto == bpf_htons(STEERING_ETHERTYPE)) {
		if (port->customer)
			return remark(ctx, port, state, l2_of(&p));
		return refuse(ctx, port, REASON_FOREIGN_NSH, l2_of(&p));
	}
	result = parse_network(data + l2_of(&p), end, proto, &p);
	if (result != PARSED) {
		count(port->engine, result == PARSED_PLAIN ? REASON_PLAIN : REASON_TRUNCATED,
		      bytes);
		return XDP_PASS;
	}
	p.flow.engine = port->engine;
	wire = bytes - l2_of(&p) + L2_PLAIN + STEERING_LEN;
	hash = flow_hash(state->hash_seed, &p.flow);
	place_of(&place, &p, hash);
	entry = cached_flow(&place, &p, flow_rest(&p));
	if (entry && entry->kind == ENTRY_VIRTUAL && entry->revision == state->revision) {
		programs.call(ctx, PROGRAM_BALANCE);
		return XDP_PASS;
	}
	if (entry && wire <= port->max_frame && entry_holds(entry, state, &p))
		return send_cached(ctx, port, entry, &p, wire);
	if (entry && entry->kind == ENTRY_CONNECTION && entry->revision == state->revision) {
		programs.call(ctx, PROGRAM_BALANCE);
		return XDP_PASS;
	}
	return mark_by_tables(ctx, port, state, &p, hash, &place, entry);
}

int mark(struct xdp_md *ctx)
{
	struct port_config *port = port_of(ctx);
	int watched, verdict;

	if (!port)
		return XDP_PASS;
	watched = sampled(ctx, port);
	verdict = mark_packet(ctx, port);
	return watched ? finish_sample(ctx, port, verdict) : verdict;
}
