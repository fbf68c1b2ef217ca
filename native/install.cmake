# What `cmake --install` puts in place: headers, libpenstock.a and .so, penstock.pc and the package of find_package.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

file(STRINGS ${CMAKE_CURRENT_SOURCE_DIR}/penstock.h abi_line REGEX "^#define PSTK_ABI_VERSION ")
string(REGEX MATCH "[0-9]+" PENSTOCK_ABI "${abi_line}")
file(STRINGS ${CMAKE_CURRENT_SOURCE_DIR}/engine.c version_line REGEX "^#define PSTK_VERSION ")
string(REGEX MATCH "[0-9]+[.][0-9]+[.][0-9]+" PENSTOCK_VERSION "${version_line}")

foreach(target ${stage_libraries} pstk_judge pstk_engine)
  list(APPEND objects $<TARGET_OBJECTS:${target}>)
endforeach()
add_library(penstock SHARED ${objects})
add_library(penstock_static STATIC ${objects})
set_target_properties(penstock PROPERTIES VERSION ${PENSTOCK_VERSION} SOVERSION ${PENSTOCK_ABI} LINKER_LANGUAGE C)
set_target_properties(penstock_static PROPERTIES OUTPUT_NAME penstock LINKER_LANGUAGE C)
target_link_libraries(penstock PRIVATE Threads::Threads m)
target_link_options(penstock PRIVATE -Wl,-z,relro,-z,now -Wl,--no-undefined)
target_link_libraries(penstock_static PUBLIC Threads::Threads m)
foreach(target penstock penstock_static)
  target_include_directories(${target} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()

install(TARGETS penstock penstock_static EXPORT penstock-targets)
file(GLOB public_headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/penstock*.h)
install(FILES ${public_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT penstock-targets NAMESPACE penstock:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/penstock)
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/penstock-config.cmake
  "include(CMakeFindDependencyMacro)\nfind_dependency(Threads)\ninclude(\${CMAKE_CURRENT_LIST_DIR}/penstock-targets.cmake)\n")
write_basic_package_version_file(penstock-config-version.cmake VERSION ${PENSTOCK_VERSION} COMPATIBILITY SameMinorVersion)
configure_file(penstock.pc.in penstock.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/penstock-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/penstock-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/penstock)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/penstock.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
