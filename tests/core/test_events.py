from __future__ import annotations

import pytest

from cometware.core.events import close_code


@pytest.mark.parametrize("code", [1000, 3000, 3999, 4000, 4403, 4999])
def test_rfc_6455_7_4_2_an_application_may_close_with(code: int) -> None:
    assert close_code(code) == code


@pytest.mark.parametrize("code", [-1, 0, 999, 1001, 1005, 1006, 1015, 2999, 5000])
def test_rfc_6455_7_4_2_an_application_may_not_close_with(code: int) -> None:
    with pytest.raises(ValueError, match="expected 1000 or 3000 to 4999"):
        close_code(code)
