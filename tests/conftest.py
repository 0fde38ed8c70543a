import pytest
from anneal_sgd import _core
@pytest.fixture(params=_core.supported_isas())
def isa(request): return request.param
