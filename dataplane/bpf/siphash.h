/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* SipHash-2-4 (Aumasson and Bernstein, 2012) over whole 64-bit words, little-endian. */
#ifndef FORESTEER_SIPHASH_H
#define FORESTEER_SIPHASH_H

#define SIP_ROTATE(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

struct sip {
	__u64 v0, v1, v2, v3;
};

static __always_inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = SIP_ROTATE(s->v1, 13) ^ s->v0;
	s->v0 = SIP_ROTATE(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = SIP_ROTATE(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = SIP_ROTATE(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = SIP_ROTATE(s->v1, 17) ^ s->v2;
	s->v2 = SIP_ROTATE(s->v2, 32);
}

static __always_inline void sip_word(struct sip *s, __u64 word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

static __always_inline struct sip sip_start(__u64 k0, __u64 k1)
{
	struct sip s = {
	    .v0 = k0 ^ 0x736f6d6570736575ULL,
	    .v1 = k1 ^ 0x646f72616e646f6dULL,
	    .v2 = k0 ^ 0x6c7967656e657261ULL,
	    .v3 = k1 ^ 0x7465646279746573ULL,
	};

	return s;
}

static __always_inline __u64 sip_finish(struct sip *s, __u64 length)
{
	sip_word(s, length << 56);
	s->v2 ^= 0xff;
	sip_round(s);
	sip_round(s);
	sip_round(s);
	sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* Two 32-bit words, as they lie in the packet, make one 64-bit word of the message. */
static __always_inline __u64 sip_pair(__u32 first, __u32 second)
{
	return (__u64)first | ((__u64)second << 32);
}

#endif
