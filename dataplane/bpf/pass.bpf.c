/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* pass_all: lets the peer of a veth take redirected frames, and does nothing else. */
int pass_all(struct xdp_md *ctx)
{
	return XDP_PASS;
}
