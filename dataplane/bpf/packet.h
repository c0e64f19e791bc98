/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* What all programs do to packets: parse, hash, tag, put a header on and take it off. */
#ifndef FORESTEER_PACKET_H
#define FORESTEER_PACKET_H

#include "maps.h"
#include "steering.h"

#define L2_PLAIN 14
#define L2_VLAN 18
#define IP_FRAGMENT_MASK 0x3FFF
#define IPV6_FRAGMENT 44
#define FAMILY_4 4
#define FAMILY_6 6
/* An echo's words stand where addresses would: its 16 bytes in pairs of source and destination. */
#define FAMILY_ECHO 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04

enum parse_result {
	PARSED,
	PARSED_PLAIN,
	PARSED_TRUNCATED,
};

/* A packet's flow, and what else of it decides. */
struct parsed {
	struct flow_key flow;
	__u32 l2;
	__u8 ttl;
	__u8 tos;
	__u8 tcp_flags;
	__u8 fragment;
};

/* Where the IP header starts, in words that the verifier can follow through memory. */
static __always_inline __u32 l2_of(struct parsed *p)
{
	return p->l2 == L2_VLAN ? L2_VLAN : L2_PLAIN;
}

struct vlan_tag {
	__be16 tci;
	__be16 proto;
};

/* The flow of the IPv4 packet at ip. Ports count only where every packet of a datagram has them. */
static __always_inline int parse_ipv4(void *data, void *end, struct parsed *p)
{
	struct iphdr *ip = data;
	__u64 there = end - data;
	__u32 length, header;
	void *l4;

	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
		return PARSED_TRUNCATED;
	header = ip->ihl * 4;
	length = bpf_ntohs(ip->tot_len);
	if (length < header || length > there)
		return PARSED_TRUNCATED;
	p->flow.family = FAMILY_4;
	p->flow.saddr[0] = ip->saddr;
	p->flow.daddr[0] = ip->daddr;
	p->flow.protocol = ip->protocol;
	p->ttl = ip->ttl;
	p->tos = ip->tos;
	if (ip->frag_off & bpf_htons(IP_FRAGMENT_MASK)) {
		p->fragment = 1;
		return PARSED;
	}
	if (ip->protocol != PROTOCOL_TCP && ip->protocol != PROTOCOL_UDP)
		return PARSED;
	l4 = data + header;
	if (length < header + 4 || l4 + 4 > end)
		return PARSED;
	p->flow.ports = *(__be32 *)l4;
	if (ip->protocol == PROTOCOL_TCP && length >= header + 14 && l4 + 14 <= end)
		p->tcp_flags = *(__u8 *)(l4 + 13);
	return PARSED;
}

/* The flow of the IPv6 packet at ip. Behind extension headers ports are not looked for. */
static __always_inline int parse_ipv6(void *data, void *end, struct parsed *p)
{
	struct ipv6hdr *ip = data;
	__u64 there = end - data;
	void *l4 = data + sizeof(*ip);
	__u32 length;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return PARSED_TRUNCATED;
	length = bpf_ntohs(ip->payload_len);
	if (length + sizeof(*ip) > there)
		return PARSED_TRUNCATED;
	p->flow.family = FAMILY_6;
	__builtin_memcpy(p->flow.saddr, &ip->saddr, 16);
	__builtin_memcpy(p->flow.daddr, &ip->daddr, 16);
	p->flow.protocol = ip->nexthdr;
	p->ttl = ip->hop_limit;
	p->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	if (ip->nexthdr == IPV6_FRAGMENT) {
		p->fragment = 1;
		return PARSED;
	}
	if (ip->nexthdr != PROTOCOL_TCP && ip->nexthdr != PROTOCOL_UDP)
		return PARSED;
	if (length < 4 || l4 + 4 > end)
		return PARSED;
	p->flow.ports = *(__be32 *)l4;
	if (ip->nexthdr == PROTOCOL_TCP && length >= 14 && l4 + 14 <= end)
		p->tcp_flags = *(__u8 *)(l4 + 13);
	return PARSED;
}

/* Where the network header of a frame starts, and what it is: one 802.1Q tag is looked behind. */
static __always_inline __be16 network_header(void *data, void *end, __u32 *l2)
{
	struct ethhdr *eth = data;
	struct vlan_tag *vlan = (void *)(eth + 1);

	*l2 = L2_PLAIN;
	if (eth->h_proto != bpf_htons(ETH_P_8021Q))
		return eth->h_proto;
	if ((void *)(vlan + 1) > end)
		return 0;
	*l2 = L2_VLAN;
	return vlan->proto;
}

static __always_inline int parse_network(void *data, void *end, __be16 proto, struct parsed *p)
{
	if (proto == bpf_htons(ETH_P_IP))
		return parse_ipv4(data, end, p);
	if (proto == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(data, end, p);
	return PARSED_PLAIN;
}

/* A hash of the flow under the domain's seed: its low bits choose buckets, its high ones cache. */
static __always_inline __u64 hash_step(__u64 h, __u64 word)
{
	h = (h ^ word) * 0xFF51AFD7ED558CCDULL;
	return h ^ h >> 32;
}

static __always_inline __u64 flow_hash(__u64 seed, struct flow_key *flow)
{
	__u64 h = hash_step(seed, sip_pair(flow->saddr[0], flow->daddr[0]));

	if (flow->family == FAMILY_6) {
		h = hash_step(h, sip_pair(flow->saddr[1], flow->daddr[1]));
		h = hash_step(h, sip_pair(flow->saddr[2], flow->daddr[2]));
		h = hash_step(h, sip_pair(flow->saddr[3], flow->daddr[3]));
	}
	h = hash_step(h, sip_pair(flow->ports, flow->protocol));
	h *= 0xC4CEB9FE1A85EC53ULL;
	return h ^ h >> 29;
}

/* SipHash's state after circuit id and C1 to C3. */
static __always_inline struct sip tag_begin(struct key_slot *key, __u32 circuit, __be32 c1,
					    __be32 c2, __be32 c3)
{
	struct sip s = sip_start(key->k0, key->k1);

	sip_word(&s, sip_pair(bpf_htonl(circuit), c1));
	sip_word(&s, sip_pair(c2, c3));
	return s;
}

/* The tag, once the inner source and destination are in as well. */
static __always_inline __be32 tag_end(struct sip *s, struct flow_key *flow)
{
	__u64 length = 24;

	if (flow->family == FAMILY_6) {
		sip_word(s, sip_pair(flow->saddr[0], flow->saddr[1]));
		sip_word(s, sip_pair(flow->saddr[2], flow->saddr[3]));
		sip_word(s, sip_pair(flow->daddr[0], flow->daddr[1]));
		sip_word(s, sip_pair(flow->daddr[2], flow->daddr[3]));
		length = 48;
	} else if (flow->family == FAMILY_ECHO) {
		/* of another length than a packet's, so that neither's tag serves the other */
		sip_word(s, sip_pair(flow->saddr[0], flow->daddr[0]));
		sip_word(s, sip_pair(flow->saddr[1], flow->daddr[1]));
		length = 32;
	} else {
		sip_word(s, sip_pair(flow->saddr[0], flow->daddr[0]));
	}
	return bpf_htonl((__u32)sip_finish(s, length));
}

/* The tag of a header: over circuit id, C1 to C3 and the inner source and destination. */
static __always_inline __be32 steering_tag(struct key_slot *key, __u32 circuit, __be32 c1,
					   __be32 c2, __be32 c3, struct flow_key *flow)
{
	struct sip s = tag_begin(key, circuit, c1, c2, c3);

	return tag_end(&s, flow);
}

/* Where this processor keeps the beginning of a circuit's tags, if anywhere. */
static __always_inline struct tag_start *tag_start_of(__u32 circuit)
{
	__u32 slot = bpf_get_smp_processor_id();

	if (slot >= CACHE_CPUS)
		return NULL;
	slot = slot * TAG_STARTS + (circuit & (TAG_STARTS - 1));
	return tag_starts.lookup(&slot);
}

static __always_inline int tag_start_holds(struct tag_start *start, struct key_slot *key,
					   __u32 circuit, __be32 c1, __be32 c2, __be32 c3)
{
	return start && start->serial == key->serial && start->circuit == circuit &&
	       start->c1 == c1 && start->c2 == c2 && start->c3 == c3;
}

/*
 * The tag again, faster: what all packets of a circuit share is computed once. Only headers that
 * are known to be good may be kept, so the caller says when (tag_keep).
 */
static __always_inline __be32 quick_tag(struct key_slot *key, struct tag_start *start,
					__u32 circuit, __be32 c1, __be32 c2, __be32 c3,
					struct flow_key *flow, struct sip *begun)
{
	struct sip s;

	if (tag_start_holds(start, key, circuit, c1, c2, c3))
		*begun = start->state;
	else
		*begun = tag_begin(key, circuit, c1, c2, c3);
	s = *begun;
	return tag_end(&s, flow);
}

static __always_inline void tag_keep(struct tag_start *start, struct key_slot *key, __u32 circuit,
				     __be32 c1, __be32 c2, __be32 c3, struct sip *begun)
{
	if (!start || tag_start_holds(start, key, circuit, c1, c2, c3))
		return;
	start->serial = key->serial;
	start->circuit = circuit;
	start->c1 = c1;
	start->c2 = c2;
	start->c3 = c3;
	start->state = *begun;
}

/* The tag that an edge puts on: its own headers are good. */
static __always_inline __be32 own_tag(struct key_slot *key, __u32 circuit, __be32 c1, __be32 c2,
				      __be32 c3, struct flow_key *flow)
{
	struct tag_start *start = tag_start_of(circuit);
	struct sip begun;
	__be32 tag = quick_tag(key, start, circuit, c1, c2, c3, flow, &begun);

	tag_keep(start, key, circuit, c1, c2, c3, &begun);
	return tag;
}

/*
 * Whether what is new may be cached now: one tick of the clock in four. Flows that go on get in
 * soon; a stream of flows that never come again does not pay for being kept.
 */
static __always_inline int may_keep(void)
{
	return !(bpf_jiffies64() & 3);
}

/* The port's entry, where the interface is a port of an engine. */
static __always_inline struct port_config *port_of(struct xdp_md *ctx)
{
	__u32 ifindex = ctx->ingress_ifindex;
	struct port_config *port = ports.lookup(&ifindex);

	return port && port->engine ? port : NULL;
}

/* One hop less for the packet at ip, which was parsed. */
static __always_inline void decrement_ttl(void *data, void *end, __u8 family)
{
	struct iphdr *ip = data;
	struct ipv6hdr *ip6 = data;
	__u32 check;

	if (family == FAMILY_4 && (void *)(ip + 1) <= end) {
		check = ip->check + bpf_htons(0x0100);
		ip->check = check + (check >= 0xFFFF);
		ip->ttl--;
	} else if (family == FAMILY_6 && (void *)(ip6 + 1) <= end) {
		ip6->hop_limit--;
	}
}

/* Put a steering header between Ethernet and IP; an 802.1Q tag is local to the port and goes. */
static __always_inline int push(struct xdp_md *ctx, __u32 l2, __u8 family, __be32 spi_si, __be32 c1,
				__be32 c2, __be32 c3, __be32 tag)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct steering_header *nsh;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr saved;

	if ((void *)(eth + 1) > end)
		return -1;
	__builtin_memcpy(&saved, eth, sizeof(saved));
	if (bpf_xdp_adjust_head(ctx, (int)l2 - L2_PLAIN - STEERING_LEN))
		return -1;
	eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	nsh = (void *)(eth + 1);
	if ((void *)(nsh + 1) > end)
		return -1;
	saved.h_proto = bpf_htons(STEERING_ETHERTYPE);
	__builtin_memcpy(eth, &saved, sizeof(saved));
	nsh->flags = bpf_htons(STEERING_TTL << NSH_TTL_SHIFT | NSH_LENGTH_WORDS);
	nsh->md_type = NSH_MD_TYPE_1;
	nsh->next_protocol = family == FAMILY_4 ? NSH_NEXT_IPV4 : NSH_NEXT_IPV6;
	nsh->spi_si = spi_si;
	nsh->c1 = c1;
	nsh->c2 = c2;
	nsh->c3 = c3;
	nsh->c4 = tag;
	return 0;
}

/* Take the NSH header off. Returns 0, or -1 when there is no packet inside to be had. */
static __always_inline int pop(struct xdp_md *ctx, __u32 l2)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct steering_header *nsh = data + l2;
	__be16 proto = 0;
	__u32 macs[3], vlan;

	if ((void *)(nsh + 1) > end || data + L2_VLAN > end)
		return -1;
	if ((bpf_ntohs(nsh->flags) & NSH_LENGTH_MASK) != NSH_LENGTH_WORDS)
		return -1;
	switch (nsh->next_protocol) {
	case NSH_NEXT_IPV4:
		proto = bpf_htons(ETH_P_IP);
		break;
	case NSH_NEXT_IPV6:
		proto = bpf_htons(ETH_P_IPV6);
		break;
	case NSH_NEXT_ETHERNET:
		return bpf_xdp_adjust_head(ctx, (int)l2 + STEERING_LEN);
	default:
		return -1;
	}
	__builtin_memcpy(macs, data, sizeof(macs));
	vlan = *(__u32 *)(data + sizeof(macs));
	if (bpf_xdp_adjust_head(ctx, STEERING_LEN))
		return -1;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + L2_VLAN > end)
		return -1;
	__builtin_memcpy(data, macs, sizeof(macs));
	if (l2 == L2_VLAN) {
		*(__u32 *)(data + sizeof(macs)) = vlan;
		*(__be16 *)(data + L2_VLAN - 2) = proto;
	} else {
		*(__be16 *)(data + L2_PLAIN - 2) = proto;
	}
	return 0;
}

/* Copy a frame to the person who watches this port. */
static __always_inline int sample_frame(struct xdp_md *ctx, __u32 ifindex, __u32 verdict)
{
	__u64 length = (void *)(long)ctx->data_end - (void *)(long)ctx->data, captured;
	struct sample *sample = samples.ringbuf_reserve(sizeof(*sample));

	if (!sample)
		return 0;
	captured = length;
	/* the verifier must see the bound on the very register that is passed on */
	asm volatile("" : "+r"(captured));
	if (captured > SAMPLE_BYTES)
		captured = SAMPLE_BYTES;
	sample->time_ns = bpf_ktime_get_ns();
	sample->ifindex = ifindex;
	sample->length = length;
	sample->verdict = verdict;
	sample->captured = captured;
	if (captured < 1 || bpf_xdp_load_bytes(ctx, 0, sample->frame, captured)) {
		samples.ringbuf_discard(sample, BPF_RB_NO_WAKEUP);
		return 0;
	}
	samples.ringbuf_submit(sample, BPF_RB_NO_WAKEUP);
	return 1;
}

/* Whether this frame is one of those to be copied; its arrival is copied at once. */
static __always_inline int sampled(struct xdp_md *ctx, struct port_config *port)
{
	if (!port->sample || bpf_get_prandom_u32() % port->sample)
		return 0;
	if (!sample_frame(ctx, ctx->ingress_ifindex, SAMPLE_CAME_IN))
		count(port->engine, REASON_SAMPLE_LOST, 0);
	return 1;
}

static __always_inline int finish_sample(struct xdp_md *ctx, struct port_config *port, int verdict)
{
	if (!sample_frame(ctx, ctx->ingress_ifindex, verdict))
		count(port->engine, REASON_SAMPLE_LOST, 0);
	return verdict;
}

#endif
