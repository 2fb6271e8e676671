"""Factors W_k with Σ_k⁻¹ = W_kᵀ W_k, by their shape."""
