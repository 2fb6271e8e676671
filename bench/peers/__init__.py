"""Packages besides gaussmix, in the order of the table. A new peer needs a file in this folder and a line here."""

from __future__ import annotations

from bench.peers.base import Peer
from bench.peers.mclust import Mclust
from bench.peers.onedal import OneDAL
from bench.peers.ours import Ours
from bench.peers.scikit_learn import ScikitLearn

PEERS: dict[str, Peer] = {peer.name: peer for peer in (Ours(), ScikitLearn(), OneDAL(), Mclust())}
