"""Mixtures made of mixtures: marginals, conditionals, maps, products; derivatives and modes."""
