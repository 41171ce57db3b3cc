// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The overlay's data path: where each frame goes, without a packet ever waiting for user space.
//
// A frame between hosts carries 24 bits of VNI: the number of the peer where it entered, and shifted by 12 the number
// of the peer where it leaves, or 0 when it follows the broadcast tree of the first. Three programs share the maps:
//
//   vxlan_out       egress of the overlay port: what the bridge wants to send to other hosts
//   vxlan_in        ingress of the overlay port: deliver, relay, or both
//   from_container  ingress of a container's outer veth end: known unicast takes a shortcut past the bridge
//
// Maps outlive the agent, because attached programs hold them. The agent writes `self`, `hops` and `trees`; `macs` is
// learnt here. A broadcast is accepted from our parent in its source's tree only, so wrong trees lose frames, and never
// multiply them. Runs on Linux 5.10 and later; numbers are in host order unless said otherwise.
//
// Source: Weave Net's fastdp (VNI layout); reverse path forwarding (Dalal and Metcalfe, 1978).
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ID_BITS 12
#define ID_MASK 0xfff
#define PEERS_MAX 4096
#define MACS_MAX 65536
#define CHILDREN_MAX 256
#define TTL 64
// Marks a frame whose tunnel key we have set: the egress hook sees redirected frames, too. A tunnel key alone is no
// mark, for answers of the host's own stack carry the reversed key of what they answer.
#define HANDLED 0x7765
#define IP_DF 0x4000
// The size of the key up to and including `local_ipv4`: accepted by every kernel since 5.10, though the struct grew.
#define KEY_SIZE 28

enum drop { DROP_NO_ID, DROP_NO_HOP, DROP_NO_TREE, DROP_PARENT, DROP_LOOP, DROP_TTL, DROP_LOCAL, DROP_KEY, DROPS };

struct self { __u32 id; __u32 vxlan; };
struct hop { __u32 ip; __u32 via; };
struct child { __u32 ip; __u32 id; };
struct tree { __u32 parent; __u32 count; struct child children[CHILDREN_MAX]; };
struct mac { __u8 octets[ETH_ALEN]; __u16 zero; };
// `peer` 0 means here, behind the interface.
struct place { __u32 peer; __u32 ifindex; };
struct traffic { __u64 sent_packets; __u64 sent_bytes; __u64 received_packets; __u64 received_bytes; };

struct map { __u32 type; __u32 key_size; __u32 value_size; __u32 max_entries; __u32 flags; };
#define MAP(name, kind, key, value, max, flag) \
	struct map SEC("maps") name = { kind, sizeof(key), sizeof(value), max, flag }

MAP(self, BPF_MAP_TYPE_ARRAY, __u32, struct self, 1, 0);
MAP(hops, BPF_MAP_TYPE_HASH, __u32, struct hop, PEERS_MAX, BPF_F_NO_PREALLOC);
MAP(trees, BPF_MAP_TYPE_HASH, __u32, struct tree, PEERS_MAX, BPF_F_NO_PREALLOC);
MAP(macs, BPF_MAP_TYPE_LRU_HASH, struct mac, struct place, MACS_MAX, 0);
MAP(stats, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct traffic, PEERS_MAX, 0);
MAP(drops, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, DROPS, 0);

static __always_inline int drop(__u32 why)
{
	__u64 *count = bpf_map_lookup_elem(&drops, &why);
	if (count)
		*count += 1;
	return TC_ACT_SHOT;
}

static __always_inline void count_sent(struct __sk_buff *skb, __u32 peer)
{
	struct traffic *traffic = bpf_map_lookup_elem(&stats, &peer);
	if (traffic) {
		traffic->sent_packets += skb->gso_segs ? skb->gso_segs : 1;
		traffic->sent_bytes += skb->len;
	}
}

static __always_inline void count_received(struct __sk_buff *skb, __u32 peer)
{
	struct traffic *traffic = bpf_map_lookup_elem(&stats, &peer);
	if (traffic) {
		traffic->received_packets += skb->gso_segs ? skb->gso_segs : 1;
		traffic->received_bytes += skb->len;
	}
}

static __always_inline struct self *who_am_i(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&self, &zero);
}

static __always_inline int read_macs(struct __sk_buff *skb, struct mac *to, struct mac *from)
{
	if (bpf_skb_load_bytes(skb, 0, to->octets, ETH_ALEN) < 0)
		return -1;
	return bpf_skb_load_bytes(skb, ETH_ALEN, from->octets, ETH_ALEN);
}

static __always_inline int is_group(const struct mac *mac)
{
	return mac->octets[0] & 1;
}

// 01:80:c2:…: between neighbouring switches, never forwarded.
static __always_inline int is_link_local(const struct mac *mac)
{
	return mac->octets[0] == 0x01 && mac->octets[1] == 0x80 && mac->octets[2] == 0xc2;
}

static __always_inline void learn(const struct mac *mac, __u32 peer, __u32 ifindex)
{
	struct place *known = bpf_map_lookup_elem(&macs, mac);
	if (is_group(mac) || (known && known->peer == peer && known->ifindex == ifindex))
		return;
	struct place place = { .peer = peer, .ifindex = ifindex };
	bpf_map_update_elem(&macs, mac, &place, BPF_ANY);
}

// The outer packet may be fragmented exactly when the inner one may.
static __always_inline __u64 key_flags(struct __sk_buff *skb)
{
	__u16 fragment;
	if (skb->protocol == bpf_htons(ETH_P_IP)
	    && bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, frag_off), &fragment, sizeof(fragment)) == 0
	    && (bpf_ntohs(fragment) & IP_DF))
		return BPF_F_ZERO_CSUM_TX | BPF_F_DONT_FRAGMENT;
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return BPF_F_ZERO_CSUM_TX | BPF_F_DONT_FRAGMENT;
	return BPF_F_ZERO_CSUM_TX;
}

// ICMP "fragmentation needed" and its twin of IPv6: made by the kernel when an underlay link is too small.
static __always_inline int is_too_big(struct __sk_buff *skb)
{
	__u8 protocol, head, kind[2];
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &head, 1) < 0
		    || bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, protocol), &protocol, 1) < 0
		    || protocol != IPPROTO_ICMP
		    || bpf_skb_load_bytes(skb, ETH_HLEN + (head & 0xf) * 4, kind, 2) < 0)
			return 0;
		return kind[0] == 3 && kind[1] == 4;
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN + 6, &protocol, 1) < 0 || protocol != 58
		    || bpf_skb_load_bytes(skb, ETH_HLEN + 40, kind, 1) < 0)
			return 0;
		return kind[0] == 2;
	}
	return 0;
}

static __always_inline int set_key(struct __sk_buff *skb, __u32 vni, __u32 ip, __u8 ttl)
{
	struct bpf_tunnel_key key = { .tunnel_id = vni, .remote_ipv4 = ip, .tunnel_ttl = ttl };
	return bpf_skb_set_tunnel_key(skb, &key, KEY_SIZE, key_flags(skb));
}

// Send a copy to each child in a tree. Copies pass the egress hook of the overlay port once more.
static __always_inline void flood(struct __sk_buff *skb, struct tree *tree, __u32 source, __u32 vxlan, __u8 ttl)
{
	skb->tc_index = HANDLED;
	for (__u32 i = 0; i < CHILDREN_MAX; i++) {
		if (i >= tree->count)
			break;
		struct child child = tree->children[i];
		if (set_key(skb, source, child.ip, ttl) == 0) {
			count_sent(skb, child.id & ID_MASK);
			bpf_clone_redirect(skb, vxlan, 0);
		}
	}
	skb->tc_index = 0;
}

SEC("tc/vxlan_out") int vxlan_out(struct __sk_buff *skb)
{
	struct mac to = {}, from = {};
	struct self *me = who_am_i();

	if (skb->tc_index == HANDLED) {
		// Not scrubbed on the way, so it would confuse the receiver if that is on this machine.
		skb->tc_index = 0;
		return TC_ACT_OK;
	}
	if (!me || !me->id)
		return drop(DROP_NO_ID);
	if (read_macs(skb, &to, &from) < 0 || is_link_local(&to))
		return TC_ACT_SHOT;
	if (!is_group(&to)) {
		struct place *place = bpf_map_lookup_elem(&macs, &to);
		if (place && !place->peer)
			return drop(DROP_LOCAL);
		if (place) {
			__u32 peer = place->peer & ID_MASK;
			struct hop *hop = bpf_map_lookup_elem(&hops, &peer);
			if (!hop)
				return drop(DROP_NO_HOP);
			if (set_key(skb, me->id | peer << ID_BITS, hop->ip, TTL) < 0)
				return drop(DROP_KEY);
			count_sent(skb, peer);
			return TC_ACT_OK;
		}
	}
	__u32 id = me->id;
	struct tree *tree = bpf_map_lookup_elem(&trees, &id);
	if (!tree)
		return drop(DROP_NO_TREE);
	flood(skb, tree, me->id, me->vxlan, TTL);
	return TC_ACT_SHOT;
}

SEC("tc/vxlan_in") int vxlan_in(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {};
	struct mac to = {}, from = {};
	struct self *me = who_am_i();

	skb->tc_index = 0;
	if (!me || !me->id)
		return drop(DROP_NO_ID);
	if (bpf_skb_get_tunnel_key(skb, &key, KEY_SIZE, 0) < 0 || read_macs(skb, &to, &from) < 0)
		return drop(DROP_KEY);
	__u32 source = key.tunnel_id & ID_MASK;
	__u32 target = key.tunnel_id >> ID_BITS & ID_MASK;
	struct place *place = is_group(&to) ? 0 : bpf_map_lookup_elem(&macs, &to);

	if (source == me->id) {
		// The kernel answers "too big" to what we sent ourselves through this very door.
		if (place && !place->peer && is_too_big(skb))
			return TC_ACT_OK;
		return drop(DROP_LOOP);
	}
	count_received(skb, source);
	if (!target) {
		struct tree *tree = bpf_map_lookup_elem(&trees, &source);
		if (!tree)
			return drop(DROP_NO_TREE);
		if (tree->parent != key.remote_ipv4)
			return drop(DROP_PARENT);
		learn(&from, source, 0);
		if (key.tunnel_ttl > 1)
			flood(skb, tree, source, me->vxlan, key.tunnel_ttl - 1);
		return TC_ACT_OK;
	}
	if (target == me->id) {
		learn(&from, source, 0);
		if (place && !place->peer && place->ifindex) {
			bpf_skb_change_type(skb, PACKET_HOST);
			return bpf_redirect_peer(place->ifindex, 0);
		}
		return TC_ACT_OK;
	}
	struct hop *hop = bpf_map_lookup_elem(&hops, &target);
	__u32 vni = key.tunnel_id;
	if (!hop)
		return drop(DROP_NO_HOP);
	if (hop->ip == key.remote_ipv4) {
		if (!is_too_big(skb))
			return drop(DROP_LOOP);
		// It was made here, about a frame on its way there: back to where that came from.
		vni = target | source << ID_BITS;
		hop = bpf_map_lookup_elem(&hops, &source);
		if (!hop)
			return drop(DROP_NO_HOP);
	}
	if (key.tunnel_ttl <= 1)
		return drop(DROP_TTL);
	if (set_key(skb, vni, hop->ip, key.tunnel_ttl - 1) < 0)
		return drop(DROP_KEY);
	count_sent(skb, target);
	skb->tc_index = HANDLED;
	return bpf_redirect(me->vxlan, 0);
}

SEC("tc/from_container") int from_container(struct __sk_buff *skb)
{
	struct mac to = {}, from = {};
	struct self *me = who_am_i();

	skb->tc_index = 0;
	if (!me || read_macs(skb, &to, &from) < 0)
		return TC_ACT_OK;
	learn(&from, 0, skb->ifindex);
	if (is_group(&to))
		return TC_ACT_OK;
	struct place *place = bpf_map_lookup_elem(&macs, &to);
	if (!place)
		return TC_ACT_OK;
	if (!place->peer) {
		if (!place->ifindex || place->ifindex == skb->ifindex)
			return TC_ACT_OK;
		bpf_skb_change_type(skb, PACKET_HOST);
		return bpf_redirect_peer(place->ifindex, 0);
	}
	__u32 peer = place->peer & ID_MASK;
	struct hop *hop = bpf_map_lookup_elem(&hops, &peer);
	if (!me->id || !hop || set_key(skb, me->id | peer << ID_BITS, hop->ip, TTL) < 0)
		return TC_ACT_OK;
	count_sent(skb, peer);
	skb->tc_index = HANDLED;
	return bpf_redirect(me->vxlan, 0);
}

char LICENSE[] SEC("license") = "GPL";
