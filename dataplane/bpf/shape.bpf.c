/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * shape: where a link is shaped by TC, at its egress, puts each packet into the class that its
 * priority names. XDP's redirects pass no queueing discipline, so this stands where one is.
 */
#include "packet.h"

#define TC_ACT_OK 0
/* The queueing discipline's handle is 1:, its classes 1:10 (priority 0) to 1:25. */
#define SHAPE_MAJOR 0x10000u
#define SHAPE_FIRST 0x10u

int shape(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	struct steering_header *nsh = (void *)(eth + 1);
	__u32 priority = 0;

	if ((void *)(nsh + 1) <= end && eth->h_proto == bpf_htons(STEERING_ETHERTYPE))
		priority = bpf_ntohl(nsh->c2) >> C2_PRIORITY_SHIFT & 0xF;
	skb->priority = SHAPE_MAJOR | (SHAPE_FIRST + priority);
	return TC_ACT_OK;
}
