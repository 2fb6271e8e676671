"""Factors W_k with Σ_k⁻¹ = W_kᵀ W_k, one file for each shape of the factors."""
