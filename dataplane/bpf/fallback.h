/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* Ordinary routing for packets that are not, or no longer, steered. */
#ifndef FORESTEER_FALLBACK_H
#define FORESTEER_FALLBACK_H

#include "packet.h"

#define LINUX_AF_INET 2
#define LINUX_AF_INET6 10

/*
 * Whether redirected frames are taken there: at ports of ours they are. Other interfaces may
 * swallow them without a word, a bridge for one; the kernel's own stack finds its way there.
 */
static __always_inline int takes_redirects(__u32 ifindex)
{
	struct port_config *port = ports.lookup(&ifindex);

	return port && port->engine;
}

/* Give a popped or stripped packet to the kernel's routing, else to the port's fallback. */
static __always_inline int fall_back(struct xdp_md *ctx, struct port_config *port)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	void *ip = eth + 1;
	struct bpf_fib_lookup fib = {};
	__u64 bytes = end - (void *)eth;
	struct parsed p = {};

	if (ip > end)
		return XDP_DROP;
	if (port->fallback == FALLBACK_DROP) {
		count(port->engine, REASON_DROPPED, bytes);
		return XDP_DROP;
	}
	if (parse_network(ip, end, eth->h_proto, &p) == PARSED && p.ttl > 1) {
		fib.l4_protocol = p.flow.protocol;
		fib.ifindex = ctx->ingress_ifindex;
		fib.tot_len = bytes - sizeof(*eth);
		if (p.flow.family == FAMILY_4) {
			fib.family = LINUX_AF_INET;
			fib.tos = p.tos;
			fib.ipv4_src = p.flow.saddr[0];
			fib.ipv4_dst = p.flow.daddr[0];
		} else {
			fib.family = LINUX_AF_INET6;
			__builtin_memcpy(fib.ipv6_src, p.flow.saddr, 16);
			__builtin_memcpy(fib.ipv6_dst, p.flow.daddr, 16);
		}
		if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) == BPF_FIB_LKUP_RET_SUCCESS &&
		    takes_redirects(fib.ifindex)) {
			decrement_ttl(ip, end, p.flow.family);
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

/* Count why a header cannot be used, take it off and route the packet as usual. */
static __always_inline int refuse(struct xdp_md *ctx, struct port_config *port, __u32 reason,
				  __u32 l2)
{
	__u64 bytes = ctx->data_end - ctx->data;
	void *data, *end;
	__u32 inner;

	count(port->engine, reason, bytes);
	if (port->fallback == FALLBACK_DROP || pop(ctx, l2))
		goto drop;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + sizeof(struct ethhdr) > end)
		goto drop;
	/* a header within a header would enter the core as if an edge had made it */
	if (network_header(data, end, &inner) == bpf_htons(STEERING_ETHERTYPE)) {
		count(port->engine, REASON_NESTED, bytes);
		goto drop;
	}
	return fall_back(ctx, port);
drop:
	count(port->engine, REASON_DROPPED, bytes);
	return XDP_DROP;
}

#endif
