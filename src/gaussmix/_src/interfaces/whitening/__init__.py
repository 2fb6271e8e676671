"""Whitening factors W_k with Σ_k⁻¹ = W_kᵀ W_k, with one class for each shape of the factors."""
