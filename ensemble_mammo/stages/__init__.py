"""One verb, one file, one public function. Stages never import each other."""
