# Skua in two stages: build on Debian 12, run on its slim image as an ordinary user.
#
#   docker build -t skua .
#   docker run --rm -p 8081:8081 skua dev --listen 0.0.0.0:8081 --data /data
#
# Not tried where it was written: no Docker engine runs there. The commands of both stages were run
# by hand on Debian 12 (scripts/quickstart.sh installs the same list and builds the same preset).
FROM debian:12-slim AS build
WORKDIR /src
COPY scripts/packages.sh scripts/
RUN bash -c '. scripts/packages.sh && need_packages "${build_packages[@]}"'
COPY . .
RUN cmake --preset release && cmake --build --preset release \
 && strip build/release/bin/skua build/release/bin/skua-namesrv build/release/bin/skua-broker

FROM debian:12-slim
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends \
      libprotobuf-c1 libssl3 libyaml-0-2 libjansson4 libsmartcols1 libisal2 libmimalloc2.0 libstdc++6 zlib1g \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --user-group --home-dir /data --create-home skua
COPY --from=build /src/build/release/bin/skua /src/build/release/bin/skua-namesrv \
                  /src/build/release/bin/skua-broker /usr/local/bin/
USER 10001:10001
VOLUME /data
EXPOSE 8081 10911
ENTRYPOINT ["skua"]
CMD ["dev", "--listen", "0.0.0.0:8081", "--data", "/data"]
