"""The door to Feast: its online store for requests, its offline store for training sets.

Feast is an extra (`recsys[feast]`). The engine only reads; what is in the store is the bank's, to fill and to erase.
An entity row names a customer's id and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from feast import FeatureStore
from feast.errors import FeastObjectNotFoundException

from recsys.errors import InvalidConfiguration, StoreUnavailable
from recsys.facts import FACTS
from recsys.vocabulary import CustomerId
from serving.feast_definitions import CUSTOMER_ID, TYPES, VIEW
from serving.feature_store_profiles import AS_OF, Row

_AT = "event_timestamp"  # what Feast calls the time by which a row must have been told


class FeastFacts:
    """Facts of one Feast repository; fulfils `FactStore`."""

    def __init__(self, repository: Path) -> None:
        """Open it. Raises `InvalidConfiguration` where it does not hold our view, or fields of other types."""
        try:
            self._store = FeatureStore(repo_path=str(repository))
            view = self._store.get_feature_view(VIEW)
        except FeastObjectNotFoundException:
            raise InvalidConfiguration(f"{_where(repository)}: there is no view {VIEW}: {_HOW}") from None
        except Exception as error:  # whatever stands in its file, Feast has many ways to say so
            raise InvalidConfiguration(
                f"{_where(repository)}: cannot be opened ({type(error).__name__}): {_HOW}"
            ) from None
        kinds = {each.name: str(each.dtype) for each in view.schema}
        self.facts = tuple(name for name in FACTS if {name, f"{name}{AS_OF}"} <= kinds.keys())
        if not self.facts:
            raise InvalidConfiguration(f"{_where(repository)}: {VIEW} holds no fact that we know: {_HOW}")
        for name in self.facts:
            for column, wanted in ((name, TYPES[FACTS[name].kind]), (f"{name}{AS_OF}", "UnixTimestamp")):
                if kinds[column] != wanted:
                    raise InvalidConfiguration(
                        f"{_where(repository)}: {column} is of type {kinds[column]}, not {wanted}: {_HOW}"
                    )
        self._asked = [f"{VIEW}:{column}" for name in self.facts for column in (name, f"{name}{AS_OF}")]

    def now(self, customer_ids: Sequence[CustomerId]) -> list[Row]:
        """Each customer's row in the online store."""
        rows = [{CUSTOMER_ID: str(each)} for each in customer_ids]
        try:
            columns = self._store.get_online_features(features=self._asked, entity_rows=rows).to_dict()
        except Exception as error:  # every online store has errors of its own
            raise StoreUnavailable(f"the feature store does not answer ({type(error).__name__})") from None
        names = [each.partition(":")[2] for each in self._asked]
        return [dict(zip(names, row, strict=True)) for row in zip(*(columns[name] for name in names), strict=True)]

    def then(self, asked: Sequence[tuple[CustomerId, datetime]]) -> list[Row]:
        """Each customer's row in the offline store, as it was told by then."""
        if not asked:
            return []
        rows = pd.DataFrame({CUSTOMER_ID: [str(each) for each, _ in asked], _AT: [at for _, at in asked]})
        wanted = rows.drop_duplicates()  # Feast keeps no order, and one row of each
        try:
            found = self._store.get_historical_features(entity_df=wanted, features=self._asked).to_df()
        except Exception as error:  # every offline store has errors of its own
            raise StoreUnavailable(f"the feature store's history cannot be read ({type(error).__name__})") from None
        known = {
            (row[CUSTOMER_ID], row[_AT].to_pydatetime()): {name: _value(value) for name, value in row.items()}
            for row in found.to_dict("records")
        }
        return [known.get((str(each), at), _NOTHING) for each, at in asked]


_NOTHING: Mapping[str, Any] = {}
_HOW = "`recsys features --feast` writes the definitions, `feast apply` puts them in force"


def _where(repository: Path) -> str:
    return f"feature_store {repository.name}"


def _value(value: Any) -> Any:
    """Without pandas' ways to say that there is nothing."""
    if isinstance(value, pd.Timestamp):
        return value.tz_localize(UTC).to_pydatetime() if value.tzinfo is None else value.to_pydatetime()
    if hasattr(value, "tolist"):
        value = value.tolist()
    return None if not isinstance(value, list) and pd.isna(value) else value
