/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* steer: at an engine's fabric port, verifies steered packets and forwards or delivers them. */
#include "packet.h"

static __always_inline int deliver(struct xdp_md *ctx, struct port_config *port)
{
	struct neighbour_key who = {.engine = port->engine};
	struct neighbour *neighbour;
	void *data, *end;
	struct ethhdr *eth;
	struct iphdr *ip;

	if (pop(ctx))
		return XDP_DROP;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	eth = data;
	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	ip = (void *)(eth + 1);
	if (!is_ipv4(ip, end))
		return XDP_DROP;
	who.address = ip->daddr;
	neighbour = neighbours.lookup(&who);
	if (!neighbour) {
		count(port->engine, REASON_NO_NEIGHBOUR, end - data);
		return fall_back(ctx, port);
	}
	__builtin_memcpy(eth->h_dest, neighbour->mac, 6);
	__builtin_memcpy(eth->h_source, port->router_mac, 6);
	count(port->engine, REASON_DELIVERED, end - data);
	return tx_ports.redirect_map(neighbour->out_slot, 0);
}

int steer(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct steering_header *nsh = (void *)(eth + 1);
	__u32 ifindex = ctx->ingress_ifindex, circuit, si, slot, epoch, ttl;
	struct port_config *port = ports.lookup(&ifindex);
	__u64 bytes = end - data;
	struct key_slot *key;
	struct iphdr *ip;
	struct hop *hop;
	__u16 flags;

	if (!port || (void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(STEERING_ETHERTYPE)) {
		count(port->engine, REASON_PLAIN, bytes);
		return XDP_PASS;
	}
	if ((void *)(nsh + 1) > end)
		return refuse(ctx, port, REASON_MALFORMED);
	flags = bpf_ntohs(nsh->flags);
	if ((flags & NSH_VERSION_MASK) || (flags & NSH_LENGTH_MASK) != NSH_LENGTH_WORDS ||
	    (nsh->md_type & 0xF) != NSH_MD_TYPE_1 || nsh->next_protocol != NSH_NEXT_IPV4)
		return refuse(ctx, port, REASON_MALFORMED);
	ip = (void *)(nsh + 1);
	if (!is_ipv4(ip, end))
		return refuse(ctx, port, REASON_MALFORMED);
	if (bpf_ntohl(nsh->c2) >> 28 != STEERING_VERSION)
		return refuse(ctx, port, REASON_VERSION);
	ttl = (flags & NSH_TTL_MASK) >> NSH_TTL_SHIFT;
	if (!ttl)
		return refuse(ctx, port, REASON_NSH_TTL);
	si = bpf_ntohl(nsh->spi_si) & 0xFF;
	circuit = bpf_ntohl(nsh->spi_si) >> 8 & SPI_CIRCUIT_MASK;
	if (!si || si >= MAX_HOPS || circuit >= MAX_CIRCUITS)
		return refuse(ctx, port, REASON_UNKNOWN_CIRCUIT);
	slot = circuit * MAX_HOPS + si;
	hop = hops.lookup(&slot);
	if (!hop || hop->action == HOP_NONE || hop->engine != port->engine)
		return refuse(ctx, port, REASON_UNKNOWN_CIRCUIT);
	epoch = bpf_ntohl(nsh->c3) >> 24;
	key = keys.lookup(&epoch);
	if (!key || !key->valid)
		return refuse(ctx, port, REASON_EPOCH);
	if (nsh->c4 != steering_tag(key, circuit, nsh->c1, nsh->c2, nsh->c3, ip->saddr, ip->daddr))
		return refuse(ctx, port, REASON_TAG);
	add(circuit_counters.lookup(&circuit), bytes);
	if (hop->action == HOP_DELIVER)
		return deliver(ctx, port);
	nsh->flags = bpf_htons((flags & ~NSH_TTL_MASK) | (ttl - 1) << NSH_TTL_SHIFT);
	nsh->spi_si = bpf_htonl(bpf_ntohl(nsh->spi_si) - 1);
	__builtin_memcpy(eth->h_dest, hop->dst_mac, 6);
	__builtin_memcpy(eth->h_source, hop->src_mac, 6);
	count(port->engine, REASON_FORWARDED, bytes);
	return tx_ports.redirect_map(hop->out_slot, 0);
}
