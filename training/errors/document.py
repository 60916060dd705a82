"""Write the generated part of docs/exercises.md anew: python -m training.errors.document"""

from pathlib import Path

from services.errors.adapters.catalogue import load_catalogue
from services.errors.adapters.tables import update

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "exercises.md"

if __name__ == "__main__":
    DOCUMENT.write_text(update(DOCUMENT, load_catalogue()), encoding="utf-8")
