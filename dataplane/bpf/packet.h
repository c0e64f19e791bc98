/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* What both programs do to packets: parse, tag, pop, fall back. */
#ifndef FORESTEER_PACKET_H
#define FORESTEER_PACKET_H

#include "maps.h"
#include "siphash.h"
#include "steering.h"

#define IP_FRAGMENT_MASK 0x3FFF
#define IP_VERSION_4 4
#define IP_MIN_WORDS 5

/* The tag of a header over an IPv4 packet: circuit id, C1 to C3, source and destination. */
static __always_inline __u32 steering_tag(struct key_slot *key, __u32 circuit, __u32 c1, __u32 c2,
					  __u32 c3, __u32 saddr, __u32 daddr)
{
	struct sip s = sip_start(key->k0, key->k1);

	sip_word(&s, sip_pair(bpf_htonl(circuit), c1));
	sip_word(&s, sip_pair(c2, c3));
	sip_word(&s, sip_pair(saddr, daddr));
	return bpf_htonl((__u32)sip_finish(&s, 24));
}

/* Whether a good IPv4 header lies at ip. A flag, not a pointer: the verifier can follow it. */
static __always_inline int is_ipv4(struct iphdr *ip, void *end)
{
	return (void *)(ip + 1) <= end && ip->version == IP_VERSION_4 && ip->ihl >= IP_MIN_WORDS;
}

/* Give a popped or stripped packet to the kernel's routing, else to the port's fallback. */
static __always_inline int fall_back(struct xdp_md *ctx, struct port_config *port)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct bpf_fib_lookup fib = {};
	struct iphdr *ip = (void *)(eth + 1);
	__u64 bytes = end - data;
	__u32 check;

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	if (eth->h_proto == bpf_htons(ETH_P_IP) && is_ipv4(ip, end) && ip->ttl > 1) {
		fib.family = 2; /* AF_INET */
		fib.tos = ip->tos;
		fib.l4_protocol = ip->protocol;
		fib.tot_len = bpf_ntohs(ip->tot_len);
		fib.ipv4_src = ip->saddr;
		fib.ipv4_dst = ip->daddr;
		fib.ifindex = ctx->ingress_ifindex;
		if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) == BPF_FIB_LKUP_RET_SUCCESS) {
			check = ip->check + bpf_htons(0x0100);
			ip->check = check + (check >= 0xFFFF);
			ip->ttl--;
			__builtin_memcpy(eth->h_dest, fib.dmac, 6);
			__builtin_memcpy(eth->h_source, fib.smac, 6);
			count(port->engine, REASON_ROUTED, bytes);
			return bpf_redirect(fib.ifindex, 0);
		}
	}
	if (port->fallback == FALLBACK_RETURN) {
		__builtin_memcpy(eth->h_source, eth->h_dest, 6);
		__builtin_memcpy(eth->h_dest, port->router_mac, 6);
		count(port->engine, REASON_RETURNED, bytes);
		return XDP_TX;
	}
	return XDP_PASS;
}

/* Take the NSH header off. Returns 0, or -1 when there is no packet inside to be had. */
static __always_inline int pop(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct steering_header *nsh = (void *)(eth + 1);
	struct ethhdr saved;
	__be16 proto = 0;

	if ((void *)(nsh + 1) > end)
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
		return bpf_xdp_adjust_head(ctx, sizeof(*eth) + STEERING_LEN);
	default:
		return -1;
	}
	__builtin_memcpy(&saved, eth, sizeof(saved));
	saved.h_proto = proto;
	if (bpf_xdp_adjust_head(ctx, STEERING_LEN))
		return -1;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	eth = data;
	if ((void *)(eth + 1) > end)
		return -1;
	__builtin_memcpy(eth, &saved, sizeof(saved));
	return 0;
}

/* Count why a steered packet cannot go on, take its header off and route it as usual. */
static __always_inline int refuse(struct xdp_md *ctx, struct port_config *port, __u32 reason)
{
	__u64 bytes = ctx->data_end - ctx->data;

	count(port->engine, reason, bytes);
	if (pop(ctx)) {
		count(port->engine, REASON_DROPPED, bytes);
		return XDP_DROP;
	}
	return fall_back(ctx, port);
}

#endif
