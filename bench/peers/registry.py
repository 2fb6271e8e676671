"""Every peer, in the order of the table. A new peer takes a file in this folder and a line here."""

from __future__ import annotations

from bench.peers.armadillo import Armadillo
from bench.peers.base import Peer
from bench.peers.gmmx import Gmmx
from bench.peers.mclust import Mclust
from bench.peers.mlpack import Mlpack
from bench.peers.onedal import OneDAL
from bench.peers.opencv import OpenCV
from bench.peers.ours import Ours
from bench.peers.pomegranate import Pomegranate
from bench.peers.scikit_learn import ScikitLearn
from bench.peers.spark import Spark

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Ours(), ScikitLearn(), OneDAL(), Armadillo(), Mclust(), Mlpack(), OpenCV(), Pomegranate(), Gmmx(), Spark(),
    )
}  # fmt: skip
