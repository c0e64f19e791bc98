/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* steer: at an engine's fabric port, verifies steered packets and forwards or delivers them. */
#include "fallback.h"

/* Whether the packet is for a virtual address that this engine spreads. */
static __always_inline int is_virtual(struct port_config *port, struct parsed *p)
{
	struct service_key key = {.engine = port->engine};

	if (p->fragment)
		return 0;
	key.protocol = p->flow.protocol;
	key.family = p->flow.family;
	key.port = bpf_htons(bpf_ntohl(p->flow.ports) & 0xFFFF);
	__builtin_memcpy(key.address, p->flow.daddr, 16);
	return services.lookup(&key) != NULL;
}

/* Hand the packet to its host, or to the instance that C1 names, with its 802.1Q tag if any. */
static __always_inline int deliver(struct xdp_md *ctx, struct port_config *port, struct parsed *p,
				   __u32 c1, __u32 c2)
{
	struct neighbour_key who = {.engine = port->engine, .family = p->flow.family};
	struct instance_key instance = {.engine = port->engine, .instance = c1 & C1_PORT_MASK};
	struct neighbour *neighbour;
	struct vlan_tag *vlan;
	struct ethhdr *eth;
	__be16 proto;
	void *end;

	if (c2 & C2_INSTANCE) {
		neighbour = instances.lookup(&instance);
	} else {
		__builtin_memcpy(who.address, p->flow.daddr, 16);
		neighbour = neighbours.lookup(&who);
	}
	if (pop(ctx, L2_PLAIN))
		return XDP_DROP;
	eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	if (!neighbour) {
		/* an edge brought it to where it is spread */
		if (!(c2 & C2_INSTANCE) && is_virtual(port, p))
			programs.call(ctx, PROGRAM_BALANCE);
		count(port->engine, REASON_NO_NEIGHBOUR, end - (void *)eth);
		return fall_back(ctx, port);
	}
	if (neighbour->vlan) {
		proto = eth->h_proto;
		if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*vlan)))
			return XDP_DROP;
		eth = (void *)(long)ctx->data;
		end = (void *)(long)ctx->data_end;
		vlan = (void *)(eth + 1);
		if ((void *)(vlan + 1) > end)
			return XDP_DROP;
		eth->h_proto = bpf_htons(ETH_P_8021Q);
		vlan->tci = neighbour->vlan;
		vlan->proto = proto;
	}
	__builtin_memcpy(eth->h_dest, neighbour->mac, 6);
	__builtin_memcpy(eth->h_source, port->router_mac, 6);
	count(port->engine, REASON_DELIVERED, end - (void *)eth);
	return tx_ports.redirect_map(neighbour->out_slot, 0);
}

/* What the tag of an echo covers. */
static __always_inline void echo_words(struct flow_key *words, struct steering_echo *body)
{
	words->family = FAMILY_ECHO;
	words->saddr[0] = body->reply_spi_si;
	words->daddr[0] = body->sequence;
	words->saddr[1] = (__u32)body->sent_ns;
	words->daddr[1] = body->sent_ns >> 32;
}

/* An echo at its circuit's end: a request goes back tagged anew, a reply is an event. */
static __always_inline int echo(struct xdp_md *ctx, struct port_config *port)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct steering_header *nsh = (void *)(eth + 1);
	struct steering_echo *body = (void *)(nsh + 1);
	__u32 zero = 0, epoch, circuit;
	__u64 bytes = end - (void *)eth;
	struct domain_state *state = domain.lookup(&zero);
	struct flow_key words = {};
	struct key_slot *key;
	struct event *event;

	if (!state || (void *)(body + 1) > end)
		return XDP_DROP;
	if (nsh->c2 & bpf_htonl(C2_REPLY)) {
		count(port->engine, REASON_ECHO_RECEIVED, bytes);
		event = events.ringbuf_reserve(sizeof(*event));
		if (!event) {
			count(port->engine, REASON_EVENT_LOST, 0);
			return XDP_DROP;
		}
		__builtin_memset(event, 0, sizeof(*event));
		event->kind = EVENT_ECHO;
		event->engine = port->engine;
		event->time_ns = bpf_ktime_get_ns();
		event->backend = bpf_ntohl(nsh->c1) >> C1_ENGINE_SHIFT;
		event->sequence = bpf_ntohl(body->sequence);
		event->packets = body->sent_ns;
		events.ringbuf_submit(event, 0);
		return XDP_DROP;
	}
	epoch = state->c3 >> C3_EPOCH_SHIFT & 0xFF;
	key = keys.lookup(&epoch);
	if (!key || !key->valid) {
		count(port->engine, REASON_NO_KEY, bytes);
		return XDP_DROP;
	}
	__builtin_memcpy(eth->h_dest, eth->h_source, 6);
	__builtin_memcpy(eth->h_source, port->router_mac, 6);
	circuit = bpf_ntohl(body->reply_spi_si) >> 8 & SPI_CIRCUIT_MASK;
	nsh->flags = bpf_htons(NSH_OAM | STEERING_TTL << NSH_TTL_SHIFT | NSH_LENGTH_WORDS);
	nsh->spi_si = body->reply_spi_si;
	nsh->c1 = bpf_htonl(port->engine << C1_ENGINE_SHIFT);
	nsh->c2 |= bpf_htonl(C2_REPLY);
	nsh->c3 = bpf_htonl(state->c3);
	echo_words(&words, body);
	nsh->c4 = steering_tag(key, circuit, nsh->c1, nsh->c2, nsh->c3, &words);
	count(port->engine, REASON_ECHO_REFLECTED, bytes);
	return XDP_TX;
}

static __always_inline int is_tag_of(struct tag_entry *entry, __u32 serial, __u32 circuit,
				     struct steering_header *nsh, struct flow_key *flow)
{
	return entry->tag == nsh->c4 && entry->serial == serial && entry->circuit == circuit &&
	       entry->c1 == nsh->c1 && entry->c2 == nsh->c2 && entry->c3 == nsh->c3 &&
	       entry->saddr == flow->saddr[0] && entry->daddr == flow->daddr[0];
}

/*
 * Whether the header carries its tag. What was computed and found right is kept in whole, so equal
 * input needs no second computation; only right tags get in, so nobody without a key can fill it.
 */
static __always_inline int tag_holds(struct key_slot *key, struct steering_header *nsh,
				     __u32 circuit, struct flow_key *flow)
{
	__u32 slot = bpf_get_smp_processor_id();
	struct tag_start *start = tag_start_of(circuit);
	struct tag_set *set = NULL;
	struct sip begun;
	__be32 tag = nsh->c4;

	if (flow->family == FAMILY_4 && slot < CACHE_CPUS) {
		slot = slot * TAG_SETS + (tag & (TAG_SETS - 1));
		set = tag_cache.lookup(&slot);
	}
	if (set && (is_tag_of(&set->entries[0], key->serial, circuit, nsh, flow) ||
		    is_tag_of(&set->entries[1], key->serial, circuit, nsh, flow)))
		return 1;
	if (tag != quick_tag(key, start, circuit, nsh->c1, nsh->c2, nsh->c3, flow, &begun))
		return 0;
	tag_keep(start, key, circuit, nsh->c1, nsh->c2, nsh->c3, &begun);
	if (set && may_keep()) {
		set->entries[1] = set->entries[0];
		set->entries[0].tag = tag;
		set->entries[0].serial = key->serial;
		set->entries[0].circuit = circuit;
		set->entries[0].c1 = nsh->c1;
		set->entries[0].c2 = nsh->c2;
		set->entries[0].c3 = nsh->c3;
		set->entries[0].saddr = flow->saddr[0];
		set->entries[0].daddr = flow->daddr[0];
	}
	return 1;
}

static __always_inline int steer_packet(struct xdp_md *ctx, struct port_config *port)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct steering_header *nsh = (void *)(eth + 1);
	struct steering_echo *body = (void *)(nsh + 1);
	__u32 circuit, si, slot, epoch, ttl, c2, reason;
	__u64 bytes = end - data;
	struct parsed p = {};
	struct key_slot *key;
	struct hop *hop;
	__be16 proto = 0;
	__u16 flags;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(STEERING_ETHERTYPE)) {
		count(port->engine, REASON_PLAIN, bytes);
		return XDP_PASS;
	}
	if ((void *)(nsh + 1) > end) {
		reason = REASON_MALFORMED;
		goto refused;
	}
	flags = bpf_ntohs(nsh->flags);
	if ((flags & NSH_VERSION_MASK) || (flags & NSH_LENGTH_MASK) != NSH_LENGTH_WORDS ||
	    (nsh->md_type & 0xF) != NSH_MD_TYPE_1) {
		reason = REASON_MALFORMED;
		goto refused;
	}
	if (flags & NSH_OAM) {
		if (nsh->next_protocol != NSH_NEXT_NONE || (void *)(body + 1) > end) {
			reason = REASON_MALFORMED;
			goto refused;
		}
		echo_words(&p.flow, body);
	} else {
		if (nsh->next_protocol == NSH_NEXT_IPV4)
			proto = bpf_htons(ETH_P_IP);
		else if (nsh->next_protocol == NSH_NEXT_IPV6)
			proto = bpf_htons(ETH_P_IPV6);
		if (parse_network(nsh + 1, end, proto, &p) != PARSED) {
			reason = REASON_MALFORMED;
			goto refused;
		}
	}
	c2 = bpf_ntohl(nsh->c2);
	if (c2 >> C2_VERSION_SHIFT != STEERING_VERSION) {
		reason = REASON_VERSION;
		goto refused;
	}
	ttl = (flags & NSH_TTL_MASK) >> NSH_TTL_SHIFT;
	if (!ttl) {
		reason = REASON_NSH_TTL;
		goto refused;
	}
	si = bpf_ntohl(nsh->spi_si) & 0xFF;
	circuit = bpf_ntohl(nsh->spi_si) >> 8 & SPI_CIRCUIT_MASK;
	if (!si || si >= MAX_HOPS || circuit >= MAX_CIRCUITS) {
		reason = REASON_UNKNOWN_CIRCUIT;
		goto refused;
	}
	slot = circuit * MAX_HOPS + si;
	hop = hops.lookup(&slot);
	if (!hop || hop->action == HOP_NONE || hop->engine != port->engine) {
		reason = REASON_UNKNOWN_CIRCUIT;
		goto refused;
	}
	if (hop->action == HOP_FORWARD && ttl == 1) {
		reason = REASON_NSH_TTL;
		goto refused;
	}
	epoch = bpf_ntohl(nsh->c3) >> C3_EPOCH_SHIFT;
	key = keys.lookup(&epoch);
	if (!key || !key->valid) {
		reason = REASON_EPOCH;
		goto refused;
	}
	if (!tag_holds(key, nsh, circuit, &p.flow)) {
		reason = REASON_TAG;
		goto refused;
	}
	add(circuit_counters.lookup(&circuit), bytes);
	count_class((c2 & C2_APPLICATION_MASK) >> C2_APPLICATION_SHIFT, bytes);
	if (hop->action == HOP_DELIVER) {
		if (flags & NSH_OAM)
			return echo(ctx, port);
		return deliver(ctx, port, &p, bpf_ntohl(nsh->c1), c2);
	}
	nsh->flags = bpf_htons((flags & ~NSH_TTL_MASK) | (ttl - 1) << NSH_TTL_SHIFT);
	nsh->spi_si = bpf_htonl(bpf_ntohl(nsh->spi_si) - 1);
	__builtin_memcpy(eth->h_dest, hop->dst_mac, 6);
	__builtin_memcpy(eth->h_source, hop->src_mac, 6);
	count(port->engine, REASON_FORWARDED, bytes);
	return tx_ports.redirect_map(hop->out_slot, 0);
refused:
	return refuse(ctx, port, reason, L2_PLAIN);
}

int steer(struct xdp_md *ctx)
{
	struct port_config *port = port_of(ctx);
	int watched, verdict;

	if (!port)
		return XDP_PASS;
	watched = sampled(ctx, port);
	verdict = steer_packet(ctx, port);
	return watched ? finish_sample(ctx, port, verdict) : verdict;
}
