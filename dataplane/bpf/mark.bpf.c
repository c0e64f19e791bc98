/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* mark: at an edge's host-facing port, puts packets of known demands on their circuits. */
#include "circuit.h"
#include "fallback.h"

#define BUCKET_VIRTUAL 0xFFFFFFFFu
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
	if (p->flow.ports) {
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
	key = CLASS_BY_DSCP | p->tos >> 2;
	found = classes.lookup(&key);
	return found ? *found : 0;
}

/* What prefixes say of the destination. */
static __always_inline __u32 *find_demand(struct parsed *p, __u32 engine)
{
	struct prefix_key prefix = {};
	struct prefix6_key prefix6 = {};

	if (p->flow.family == FAMILY_4) {
		prefix.prefixlen = 64;
		prefix.engine = bpf_htonl(engine);
		prefix.address = p->flow.daddr[0];
		return prefixes.lookup(&prefix);
	}
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

static __always_inline int mark_packet(struct xdp_md *ctx, struct port_config *port)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u64 bytes = end - data, wire, hash, bucket = 0, *pair;
	__u32 zero = 0, l2, slot, circuit, application, epoch, cached, rest, class = 0, *demand, c2;
	struct mark_entry fill = {}, *entry = NULL;
	struct edge_circuit *edge;
	struct domain_state *state = domain.lookup(&zero);
	struct class_demand_key split = {};
	struct class_info *info;
	struct key_slot *key;
	struct parsed p = {};
	__be16 proto;
	int result;

	if (!state || data + sizeof(struct ethhdr) > end)
		return XDP_PASS;
	proto = network_header(data, end, &l2);
	if (proto == bpf_htons(STEERING_ETHERTYPE)) {
		if (port->customer)
			return remark(ctx, port, state, l2);
		return refuse(ctx, port, REASON_FOREIGN_NSH, l2);
	}
	result = parse_network(data + l2, end, proto, &p);
	if (result != PARSED) {
		count(port->engine, result == PARSED_PLAIN ? REASON_PLAIN : REASON_TRUNCATED,
		      bytes);
		return XDP_PASS;
	}
	p.flow.engine = port->engine;
	wire = bytes - l2 + L2_PLAIN + STEERING_LEN;
	hash = flow_hash(state->hash_seed, &p.flow);
	fill.revision = state->revision;
	rest = p.flow.protocol | p.tos << 8;
	cached = bpf_get_smp_processor_id();
	if (p.flow.family == FAMILY_4 && cached < CACHE_CPUS) {
		cached = cached * MARK_CACHE + (hash >> 32 & (MARK_CACHE - 1));
		entry = mark_cache.lookup(&cached);
	}
	if (entry && entry->saddr == p.flow.saddr[0] && entry->daddr == p.flow.daddr[0] &&
	    entry->ports == p.flow.ports && entry->rest == rest &&
	    entry->ifindex == ctx->ingress_ifindex && entry->revision == fill.revision) {
		if (entry->bucket == BUCKET_VIRTUAL)
			goto virtual;
		slot = entry->bucket;
		pair = buckets.lookup(&slot);
		if (pair && (__u32)*pair == entry->circuit && !is_down(entry->egress) &&
		    entry->c3 == bpf_htonl(state->c3) && p.ttl > 1 && wire <= port->max_frame) {
			slot = entry->demand;
			add(demand_counters.lookup(&slot), wire);
			count_class(entry->application, wire);
			count(port->engine, REASON_MARKED, bytes);
			decrement_ttl(data + l2, end, FAMILY_4);
			if (push(ctx, l2, FAMILY_4, bpf_htonl(entry->circuit << 8 | entry->si),
				 entry->c1, entry->c2, entry->c3, entry->tag))
				return XDP_DROP;
			return tx_ports.redirect_map(port->out_slot, 0);
		}
	}
	demand = find_demand(&p, port->engine);
	if (!demand) {
		count(port->engine, REASON_NO_DEMAND, bytes);
		return XDP_PASS;
	}
	if (*demand & DEMAND_VIRTUAL) {
		if (entry) {
			fill.bucket = BUCKET_VIRTUAL;
			fill.saddr = p.flow.saddr[0];
			fill.daddr = p.flow.daddr[0];
			fill.ports = p.flow.ports;
			fill.rest = rest;
			fill.ifindex = ctx->ingress_ifindex;
			*entry = fill;
		}
		virtual : programs.call(ctx, PROGRAM_BALANCE);
		return XDP_PASS;
	}
	class = classify(&p, state);
	slot = *demand & DEMAND_SLOT;
	if (class && *demand & DEMAND_CLASSES) {
		split.demand = slot;
		split.class = class;
		demand = class_demands.lookup(&split);
		if (demand)
			slot = *demand;
	}
	fill.demand = slot;
	add(demand_counters.lookup(&slot), wire);
	slot = slot * BUCKETS + (hash & (BUCKETS - 1));
	fill.bucket = slot;
	pair = buckets.lookup(&slot);
	if (pair)
		bucket = *pair;
	if (!bucket) {
		count(port->engine, REASON_UNSTEERED, bytes);
		return XDP_PASS;
	}
	edge = bucket_circuit(bucket, port->engine, &circuit);
	if (!edge) {
		count(port->engine, REASON_NO_CIRCUIT, bytes);
		return XDP_PASS;
	}
	if (p.ttl <= 1) {
		count(port->engine, REASON_IP_TTL, bytes);
		return XDP_PASS;
	}
	if (wire > port->max_frame) {
		count(port->engine, REASON_TOO_LONG, bytes);
		return XDP_PASS;
	}
	fill.c3 = bpf_htonl(state->c3);
	epoch = bpf_ntohl(fill.c3) >> C3_EPOCH_SHIFT;
	key = keys.lookup(&epoch);
	if (!key || !key->valid) {
		count(port->engine, REASON_NO_KEY, bytes);
		return XDP_PASS;
	}
	c2 = edge->c2;
	info = class_table.lookup(&class);
	if (class && info)
		c2 = (c2 & ~(C2_PRIORITY_MASK | C2_APPLICATION_MASK)) |
		     (info->priority & 0xF) << C2_PRIORITY_SHIFT |
		     info->application << C2_APPLICATION_SHIFT;
	application = (c2 & C2_APPLICATION_MASK) >> C2_APPLICATION_SHIFT;
	fill.c1 = bpf_htonl(edge->c1);
	fill.c2 = bpf_htonl(c2);
	fill.si = edge->si;
	fill.tag = steering_tag(key, circuit, fill.c1, fill.c2, fill.c3, &p.flow);
	if (entry) {
		fill.saddr = p.flow.saddr[0];
		fill.daddr = p.flow.daddr[0];
		fill.ports = p.flow.ports;
		fill.rest = rest;
		fill.ifindex = ctx->ingress_ifindex;
		fill.circuit = circuit;
		fill.egress = edge->c1 >> C1_ENGINE_SHIFT;
		fill.application = application;
		*entry = fill;
	}
	count_class(application, wire);
	count(port->engine, REASON_MARKED, bytes);
	decrement_ttl(data + l2, end, p.flow.family);
	if (push(ctx, l2, p.flow.family, bpf_htonl(circuit << 8 | fill.si), fill.c1, fill.c2,
		 fill.c3, fill.tag))
		return XDP_DROP;
	return tx_ports.redirect_map(port->out_slot, 0);
}

int mark(struct xdp_md *ctx)
{
	__u32 ifindex = ctx->ingress_ifindex;
	struct port_config *port = ports.lookup(&ifindex);
	int watched, verdict;

	if (!port)
		return XDP_PASS;
	watched = sampled(ctx, port);
	verdict = mark_packet(ctx, port);
	return watched ? finish_sample(ctx, port, verdict) : verdict;
}
