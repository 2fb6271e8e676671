// exp and log of the precision of this compilation.
#pragma once
#ifdef GAUSSMIX_SINGLE
#include "exp_log_float.hpp"
#else
#include "exp_log.hpp"
#endif
