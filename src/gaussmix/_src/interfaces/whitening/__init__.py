"""Whitening factors W_k with Σ_k⁻¹ = W_kᵀ W_k; one class for each shape of factors."""
